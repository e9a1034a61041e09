namespace Flint.Bench;

/// <summary>A measurement cannot be made, or what it measured gave a wrong answer; its row says why, the others go on.</summary>
internal sealed class BenchException(string message) : Exception(message);

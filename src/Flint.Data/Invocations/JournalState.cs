namespace Flint.Data.Invocations;

/// <summary>How far history's store is behind.</summary>
/// <param name="Rows">Records that are not committed yet.</param>
/// <param name="OldestAge">How long the oldest of them waits; zero when there is none.</param>
/// <param name="LastError">Why the last write failed; null once one succeeded.</param>
public sealed record JournalState(int Rows, TimeSpan OldestAge, string? LastError);

namespace Flint.Runtime.Hosting;

/// <summary>Collects what is wrong with one section, so that the operator sees everything at once.</summary>
internal sealed class OptionProblems(string section)
{
    private readonly List<string> _problems = [];

    public IReadOnlyList<string> All => _problems;

    public void Range(string key, int value, int min, int max, int? except = null)
    {
        if ((value < min || value > max) && value != except)
        {
            var alternative = except is { } special ? $", or {special}" : "";
            _problems.Add($"{section}:{key} is {value}; it must be {min} to {max}{alternative}.");
        }
    }

    public void OneOf(string key, string value, params ReadOnlySpan<string> allowed)
    {
        if (!allowed.Contains(value))
        {
            _problems.Add($"{section}:{key} contains '{value}'; it must be one of {string.Join(", ", allowed!)}.");
        }
    }
}

namespace Flint.Engines.Native;

/// <summary>One way to boot a guest: an interpreter that the sandbox's root has, and how guest/runtimes.json says to start it.</summary>
internal sealed class GuestRuntime(string name, string interpreter, GuestLanguage language)
{
    public string Name { get; } = name;

    /// <summary>How its zygote is started; null when the language has none.</summary>
    public IReadOnlyList<string>? ZygoteArguments { get; } = language.Zygote?.Arguments
        .Select(argument => argument.Replace("{interpreter}", interpreter, StringComparison.Ordinal)).ToList();

    public IReadOnlyList<string> Arguments(int memoryMb) =>
        [.. language.Arguments.Select(argument => argument
            .Replace("{interpreter}", interpreter, StringComparison.Ordinal)
            .Replace("{heapMb}", language.HeapMb(memoryMb).ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("{semiSpaceMb}", GuestLanguage.SemiSpaceMb(memoryMb).ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal))];

    /// <summary>The language's base environment with the function's on top.</summary>
    public Dictionary<string, string> Environment(IReadOnlyDictionary<string, string> function)
    {
        var merged = new Dictionary<string, string>(language.Environment, StringComparer.Ordinal);
        foreach (var (key, value) in function)
        {
            merged[key] = value;
        }

        return merged;
    }

    /// <summary>What its zygote boots with: the language's base environment and the preloaded library.</summary>
    public IReadOnlyList<string> ZygoteEnvironment(string library) => Entries(new Dictionary<string, string>(language.Environment) { ["LD_PRELOAD"] = library });

    public static IReadOnlyList<string> Entries(IReadOnlyDictionary<string, string> environment) =>
        [.. environment.Select(static pair => $"{pair.Key}={pair.Value}")];

    /// <summary>
    /// The variable that only a start of its own can obey, because an interpreter reads it when it boots and it differs from what the zygote had; null
    /// when there is none.
    /// </summary>
    public string? NeedsExec(IReadOnlyDictionary<string, string> function)
    {
        foreach (var (key, value) in function)
        {
            if (language.Zygote is { } zygote && zygote.IsReadAtBoot(key) && language.Environment.GetValueOrDefault(key) != value)
            {
                return key;
            }
        }

        return null;
    }
}

using System.Text.Json;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>One language's entry of guest/runtimes.json.</summary>
internal sealed record GuestLanguage(
    string Prefix,
    IReadOnlyList<string> Arguments,
    IReadOnlyDictionary<string, string> Environment,
    int HeapPercent,
    int HeapReserveMb,
    GuestZygote? Zygote = null)
{
    /// <summary>The heap limit for a language that needs one: what a share and a fixed reserve leave of the memory.</summary>
    public int HeapMb(int memoryMb) => Math.Max(16, Math.Min(memoryMb * HeapPercent / 100, memoryMb - HeapReserveMb));

    /// <summary>V8's young generation takes up to three of these beside the heap limit; its default of 16 MB would not fit a small sandbox.</summary>
    public static int SemiSpaceMb(int memoryMb) => Math.Clamp(memoryMb / 64, 1, 16);

    public static IReadOnlyList<GuestLanguage> Load(string path) =>
        JsonSerializer.Deserialize<List<GuestLanguage>>(File.ReadAllText(path), JsonSerializerOptions.Web)
        ?? throw new EngineException($"{path} is empty.");
}

/// <summary>How a language's zygote is started, and what a function's environment may not change after a fork.</summary>
/// <param name="Arguments">As the language's own.</param>
/// <param name="ExecVariables">Names, or beginnings of names that end in <c>*</c>.</param>
internal sealed record GuestZygote(IReadOnlyList<string> Arguments, IReadOnlyList<string> ExecVariables)
{
    public bool IsReadAtBoot(string variable)
    {
        foreach (var pattern in ExecVariables)
        {
            if (pattern.EndsWith('*') ? variable.AsSpan().StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal) : variable == pattern)
            {
                return true;
            }
        }

        return false;
    }
}

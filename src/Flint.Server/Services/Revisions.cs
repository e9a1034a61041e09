namespace Flint.Server.Services;

/// <summary>The optimistic lock: a caller that says which revision it saw is refused when that is not the current one.</summary>
internal static class Revisions
{
    public static void Check(string? seen, string current)
    {
        if (seen is not null && seen != "*" && seen != current)
        {
            throw Mismatch();
        }
    }

    public static RefusedException Mismatch() => new("revision_mismatch",
        "It was changed since the revision that you name; read it again.", field: "revisionId");
}

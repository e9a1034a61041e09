namespace Flint.Runtime.Sandboxing;

/// <summary>How a guest's process came to be.</summary>
public enum StartMode
{
    /// <summary>Forked from a booted interpreter, in a millisecond. Siblings share its address-space layout and hash seeds.</summary>
    Zygote,
    /// <summary>An interpreter of its own, started for this sandbox.</summary>
    Exec,
}

namespace Flint.Runtime.Sandboxing;

/// <summary>The platform's fault: an engine could not do what was asked. Says what, why, and which knob helps.</summary>
public sealed class EngineException : Exception
{
    public EngineException(string message) : base(message) { }
    public EngineException(string message, Exception inner) : base(message, inner) { }
}

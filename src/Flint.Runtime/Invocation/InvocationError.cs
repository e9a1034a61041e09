namespace Flint.Runtime.Invocation;

/// <summary>A failed invocation's error, as it is recorded and shown.</summary>
/// <param name="Type">Flint's classification.</param>
/// <param name="Name">The guest's own class or code, such as <c>KeyError</c> or <c>Runtime.ImportModuleError</c>; hostile text.</param>
/// <param name="Message">Human text; hostile text when the function is at fault.</param>
/// <param name="StackTrace">Frames, outermost first as the guest's language prints them; empty when there are none.</param>
public sealed record InvocationError(FaultType Type, string Name, string Message, IReadOnlyList<string> StackTrace)
{
    public InvocationError(FaultType type, string message) : this(type, type.ToString(), message, []) { }
}

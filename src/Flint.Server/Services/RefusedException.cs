namespace Flint.Server.Services;

/// <summary>
/// A request that Flint does not carry out. <see cref="Code"/> is stable and decides the HTTP status (Api/ProblemMapping.cs).
/// </summary>
/// <param name="code">Stable, snake case.</param>
/// <param name="detail">What was wrong, for people.</param>
/// <param name="entry">The archive entry at fault; hostile text, escaped.</param>
/// <param name="field">The member, header or parameter at fault.</param>
/// <param name="limit">The limit that was passed, with its unit.</param>
/// <param name="knob">The configuration key that sets the limit.</param>
internal sealed class RefusedException(
    string code, string detail, string? entry = null, string? field = null, string? limit = null, string? knob = null) : Exception(detail)
{
    public string Code { get; } = code;
    public string? Entry { get; } = entry;
    public string? Field { get; } = field;
    public string? Limit { get; } = limit;
    public string? Knob { get; } = knob;

    /// <summary>The status of the invocation that it was asked of, where that is the reason.</summary>
    public string? Status { get; init; }

    /// <summary>The same refusal, naming the field where the caller put the thing.</summary>
    public RefusedException In(string field) => new(Code, Message, Entry, Field ?? field, Limit, Knob);
}

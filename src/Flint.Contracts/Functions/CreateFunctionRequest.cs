namespace Flint.Contracts.Functions;

/// <summary>Body of <c>POST /api/functions</c>.</summary>
public sealed record CreateFunctionRequest
{
    /// <summary>Required. 1 to 64 of letters, digits, <c>-</c> and <c>_</c>.</summary>
    public string? Name { get; init; }
    /// <summary>Required. A runtime of <c>GET /api/runtimes</c>; an alias is resolved once, now.</summary>
    public string? Runtime { get; init; }
    /// <summary>Required. <c>module.function</c>, as AWS Lambda's; at most 128 characters.</summary>
    public string? Handler { get; init; }
    /// <summary>Required.</summary>
    public CodeSource? Code { get; init; }
    /// <summary>At most 256 characters.</summary>
    public string? Description { get; init; }
    /// <summary>128 to 10240; default 128.</summary>
    public int? MemoryMb { get; init; }
    /// <summary>1 to 900000 unless configured otherwise; default 3000.</summary>
    public int? TimeoutMs { get; init; }
    /// <summary>Size of /tmp: 16 to 10240; default 512.</summary>
    public int? TmpMb { get; init; }
    /// <summary>At most 4 KB of names and values together.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>
    /// <c>warm</c> (default: the sandbox is kept for the next invocation), <c>fresh</c> (a new sandbox for every one) or <c>snapshot</c> (the initialised process is
    /// kept and forked for every one; needs start <c>zygote</c>).
    /// </summary>
    public string? Freshness { get; init; }
    /// <summary><c>zygote</c> (default: forked from a booted interpreter) or <c>exec</c> (an interpreter of its own).</summary>
    public string? Start { get; init; }
    /// <summary><c>none</c> (default) or <c>egress</c> (outbound to public addresses, names resolved).</summary>
    public string? Network { get; init; }
    /// <summary>An engine of <c>GET /api/runtimes</c>; default the server's first.</summary>
    public string? Engine { get; init; }
    /// <summary><c>continue</c> (default, Lambda's way) or <c>cancel</c>.</summary>
    public string? OnDisconnect { get; init; }
    /// <summary><c>buffered</c> (default: committed within 50 ms) or <c>strict</c> (committed before the answer).</summary>
    public string? History { get; init; }
    public AsyncSettings? Async { get; init; }
}

using System.Text;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>What came of one event: a result, an error, or the process's end.</summary>
internal sealed record TestAnswer(string? Result, InvocationError? Error, SandboxExit? Exit, CapturedLog Log);

/// <summary>The code of one function in a directory of its own, and guests that run it.</summary>
internal sealed class TestFunction : IDisposable
{
    public const int MemoryMb = 256;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private readonly string _runtime;
    private readonly DirectoryInfo _code = System.IO.Directory.CreateTempSubdirectory("function-");

    /// <param name="runtime">A runtime of <see cref="ProcessGuests.Runtimes"/>.</param>
    /// <param name="code">The module whose <c>handler</c> is called; for Node CommonJS, or an ES module when it has a line that begins with <c>export</c>.</param>
    public TestFunction(string runtime, string code)
    {
        _runtime = runtime;
        bool isModule = code.Split('\n').Any(line => line.StartsWith("export ", StringComparison.Ordinal));
        File.WriteAllText(Path.Combine(_code.FullName, IsPython ? "main.py" : isModule ? "main.mjs" : "main.js"), code);
    }

    public string Directory => _code.FullName;

    private bool IsPython => _runtime.StartsWith("python", StringComparison.Ordinal);

    public SandboxSpec Spec(int memoryMb = MemoryMb, bool snapshot = false) => new()
    {
        TenantId = "default",
        Runtime = _runtime,
        CodeDirectory = Directory,
        MemoryMb = memoryMb,
        TmpMb = 64,
        Environment = new Dictionary<string, string> { ["AWS_LAMBDA_FUNCTION_NAME"] = "test" },
        Snapshot = snapshot,
    };

    /// <summary>One event in a fork of its own.</summary>
    public async Task<TestAnswer> InvokeAsync(ZygoteGuests zygote, string payload = "null", int memoryMb = MemoryMb) =>
        await InvokeAsync(zygote.Fork(Spec(memoryMb)), payload, memoryMb);

    /// <summary>One event in a guest that is destroyed then.</summary>
    public async Task<TestAnswer> InvokeAsync(ISandbox sandbox, string payload = "null", int memoryMb = MemoryMb)
    {
        using CancellationTokenSource limit = new(Limit);
        try
        {
            GuestConnection connection = new(sandbox, new GuestLimits());
            return await InitAsync(connection, sandbox, snapshot: false, memoryMb, limit.Token) ?? await InvokeAsync(connection, sandbox, payload, limit.Token);
        }
        finally
        {
            await sandbox.DestroyAsync();
        }
    }

    /// <summary>Null when the handler is loaded.</summary>
    public async Task<TestAnswer?> InitAsync(GuestConnection connection, ISandbox sandbox, bool snapshot, int memoryMb, CancellationToken cancellationToken)
    {
        GuestInit init = new()
        {
            Handler = "main.handler",
            FunctionName = "test",
            FunctionVersion = "$LATEST",
            InvokedFunctionArn = "arn:flint:lambda:local:default:function:test",
            MemoryMb = memoryMb,
            TaskRoot = Directory,
            Environment = sandbox.GuestEnvironment,
            Snapshot = snapshot,
        };
        InvocationLog log = new(1024 * 1024, TimeProvider.System);
        try
        {
            InvocationError? error = await connection.InitAsync(init, log, cancellationToken);
            return error is null ? null : new TestAnswer(null, error, null, log.Complete());
        }
        catch (GuestClosedException)
        {
            return new TestAnswer(null, null, await sandbox.Exited.WaitAsync(cancellationToken), log.Complete());
        }
    }

    public static async Task<TestAnswer> InvokeAsync(GuestConnection connection, ISandbox sandbox, string payload, CancellationToken cancellationToken)
    {
        InvocationLog log = new(1024 * 1024, TimeProvider.System);
        GuestInvoke invoke = new("00000000-0000-7000-8000-000000000001", TimeProvider.System.GetUtcNow() + Limit, Encoding.UTF8.GetBytes(payload), null, null);
        try
        {
            GuestReply reply = await connection.InvokeAsync(invoke, log, cancellationToken);
            string? result = reply.Error is null ? Encoding.UTF8.GetString(reply.Result.Span) : null;
            SandboxExit? exit = connection.IsUsable ? null : await sandbox.Exited.WaitAsync(cancellationToken);
            return new TestAnswer(result, reply.Error, exit, log.Complete());
        }
        catch (GuestClosedException)
        {
            SandboxExit exit = await sandbox.Exited.WaitAsync(cancellationToken);
            await sandbox.DrainOutputAsync(cancellationToken);
            return new TestAnswer(null, null, exit, log.Complete());
        }
    }

    public void Dispose() => _code.Delete(recursive: true);
}

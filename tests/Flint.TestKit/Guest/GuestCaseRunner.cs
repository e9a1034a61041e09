using System.Text;
using System.Text.Json;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>Runs one guest case in a sandbox and throws <see cref="GuestCaseException"/> with all that was seen when it does not hold.</summary>
public sealed class GuestCaseRunner(GuestHost host, GuestCase guestCase, string runtime)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly GuestProgram _program = guestCase.Languages[GuestCases.Language(runtime)];
    private string _taskRoot = "";

    /// <summary>Runs the named case of guest/conformance.</summary>
    public static Task RunAsync(GuestHost host, string name, string runtime) =>
        new GuestCaseRunner(host, GuestCases.Load().Single(guestCase => guestCase.Name == name), runtime).RunAsync();

    public async Task RunAsync()
    {
        DirectoryInfo code = Directory.CreateDirectory(Path.Combine(host.CodeParent ?? Path.GetTempPath(), "case-" + Guid.NewGuid().ToString("N")));
        using CancellationTokenSource limit = new(Limit);
        try
        {
            WriteFiles(code.FullName);
            await RunAsync(code.FullName, limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            throw new GuestCaseException($"no answer within {Limit.TotalSeconds} s");
        }
        finally
        {
            code.Delete(recursive: true);
        }
    }

    private async Task RunAsync(string code, CancellationToken cancellationToken)
    {
        _taskRoot = host.TaskRoot(code);
        ISandbox sandbox = await host.Create(Spec(code), cancellationToken).ConfigureAwait(false);
        try
        {
            GuestConnection connection = new(sandbox, new GuestLimits());
            bool loaded = await InitAsync(connection, sandbox, cancellationToken).ConfigureAwait(false);
            if (loaded)
            {
                int number = 0;
                foreach (GuestInvokeStep step in _program.Invokes ?? guestCase.Invokes)
                {
                    await InvokeAsync(connection, sandbox, step, ++number, cancellationToken).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            await sandbox.DestroyAsync().ConfigureAwait(false);
        }
    }

    private async Task<bool> InitAsync(GuestConnection connection, ISandbox sandbox, CancellationToken cancellationToken)
    {
        GuestExpectation expected = _program.Init ?? guestCase.Init ?? new GuestExpectation();
        InvocationLog log = new(1024 * 1024, TimeProvider.System);
        Seen seen = new("init");
        try
        {
            seen.Error = await connection.InitAsync(Init(sandbox), log, cancellationToken).ConfigureAwait(false);
        }
        catch (GuestProtocolException e)
        {
            seen.Violation = e.Message;
        }
        catch (GuestClosedException)
        {
            seen.Exit = await sandbox.Exited.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        seen.Log = log.Complete();
        seen.Usable = connection.IsUsable;
        new GuestCaseCheck(seen, _taskRoot, requestId: "").Check(expected, orNothing: true);
        return seen.Error is null && seen.Exit is null && seen.Violation is null;
    }

    private async Task InvokeAsync(
        GuestConnection connection, ISandbox sandbox, GuestInvokeStep step, int number, CancellationToken cancellationToken)
    {
        string requestId = $"00000000-0000-7000-8000-{number:x12}";
        InvocationLog log = new(1024 * 1024, TimeProvider.System);
        Seen seen = new($"invoke {number}");
        byte[] payload = Encoding.UTF8.GetBytes(EventText(step));
        try
        {
            GuestInvoke invoke = new(requestId, TimeProvider.System.GetUtcNow() + Limit, payload, step.ClientContext, step.TraceId);
            GuestReply reply = await connection.InvokeAsync(invoke, log, cancellationToken).ConfigureAwait(false);
            (seen.Result, seen.Error) = (Encoding.UTF8.GetString(reply.Result.Span), reply.Error);
        }
        catch (GuestProtocolException e)
        {
            seen.Violation = e.Message;
        }
        catch (GuestClosedException)
        {
            seen.Exit = await sandbox.Exited.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        seen.Log = log.Complete();
        seen.Usable = connection.IsUsable;
        new GuestCaseCheck(seen, _taskRoot, requestId).Check(step.Expect, orNothing: false);
    }

    private static string EventText(GuestInvokeStep step) => step switch
    {
        { EventSize: int size } => $"{{\"x\":\"{new string('y', size)}\"}}",
        { EventText: string text } => text,
        { Event.ValueKind: JsonValueKind.Undefined } => "null",
        _ => step.Event.GetRawText(),
    };

    private SandboxSpec Spec(string code)
    {
        Dictionary<string, string> environment = new(StringComparer.Ordinal)
        {
            ["_HANDLER"] = _program.Handler,
            ["AWS_LAMBDA_FUNCTION_NAME"] = "case",
            ["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/case",
            ["AWS_LAMBDA_LOG_STREAM_NAME"] = "2026/01/01/[$LATEST]0",
        };
        foreach ((string name, string value) in guestCase.Environment)
        {
            environment[name] = value.Replace("{root}", _taskRoot, StringComparison.Ordinal);
        }
        return new SandboxSpec
        {
            TenantId = "default",
            Runtime = runtime,
            CodeDirectory = code,
            MemoryMb = guestCase.MemoryMb,
            TmpMb = 64,
            Environment = environment,
        };
    }

    private GuestInit Init(ISandbox sandbox) => new()
    {
        Handler = _program.Handler,
        FunctionName = "case",
        FunctionVersion = "$LATEST",
        InvokedFunctionArn = "arn:flint:lambda:local:default:function:case",
        MemoryMb = guestCase.MemoryMb,
        TaskRoot = _taskRoot,
        Environment = sandbox.GuestEnvironment,
        Call = guestCase.Call,
        Globals = guestCase.Globals,
    };

    private void WriteFiles(string code)
    {
        foreach ((string name, Lines text) in _program.Files)
        {
            string path = Path.Combine(code, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text.Text);
        }
    }
}

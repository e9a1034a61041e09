using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>Runs one guest case in a sandbox and throws <see cref="GuestCaseException"/> with all that was seen when it does not hold.</summary>
public sealed class GuestCaseRunner(GuestHost host, GuestCase guestCase, string runtime)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly GuestProgram _program = guestCase.Languages[GuestCases.Language(runtime)];
    private string _taskRoot = "";

    /// <summary>Runs the named case of guest/conformance/cases.json.</summary>
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
            seen.Error = await connection.InitAsync(Init(), log, cancellationToken).ConfigureAwait(false);
        }
        catch (GuestClosedException)
        {
            seen.Exit = await sandbox.Exited.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        seen.Log = log.Complete();
        seen.Usable = connection.IsUsable;
        new GuestCaseCheck(seen, _taskRoot, requestId: "").Check(expected, orNothing: true);
        return seen.Error is null && seen.Exit is null;
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

    private GuestInit Init() => new()
    {
        Handler = _program.Handler,
        FunctionName = "case",
        FunctionVersion = "$LATEST",
        InvokedFunctionArn = "arn:flint:lambda:local:default:function:case",
        MemoryMb = guestCase.MemoryMb,
        TaskRoot = _taskRoot,
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

/// <summary>A guest did not behave as its case says.</summary>
public sealed class GuestCaseException(string message) : Exception(message);

/// <summary>What came of one step.</summary>
internal sealed class Seen(string step)
{
    public string? Result { get; set; }
    public InvocationError? Error { get; set; }
    public SandboxExit? Exit { get; set; }
    public CapturedLog Log { get; set; } = CapturedLog.Empty;
    public bool Usable { get; set; }

    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(step).Append(": ");
        text.AppendLine(Error is not null ? $"error {Error.Type} {Error.Name} \"{Error.Message}\"" : Exit is not null ? $"exit: {Exit}" : $"result {Shorten(Result)}");
        foreach (string frame in Error?.StackTrace ?? [])
        {
            text.AppendLine("  at: " + JsonSerializer.Serialize(frame));
        }
        foreach (LogLine line in Log.Lines.Take(50))
        {
            text.AppendLine($"  {Prefix(line.Stream)}{JsonSerializer.Serialize(Shorten(line.Text))}");
        }
        return text.ToString();
    }

    public static string Prefix(LogStream stream) => stream switch
    {
        LogStream.Stdout => "out: ",
        LogStream.Stderr => "err: ",
        _ => "platform: ",
    };

    private static string Shorten(string? text) => text is null ? "(none)" : text.Length <= 500 ? text : text[..500] + "...";
}

internal sealed class GuestCaseCheck(Seen seen, string taskRoot, string requestId)
{
    public void Check(GuestExpectation expected, bool orNothing)
    {
        CheckError(expected.Error);
        CheckExit(expected.Exit);
        if (!orNothing && expected.Error is null && expected.Exit is null && expected.Result.ValueKind == JsonValueKind.Undefined && expected.ResultText is null)
        {
            throw new GuestCaseException("the case expects nothing of this step");
        }
        if (expected.Result.ValueKind != JsonValueKind.Undefined
            && !(seen.Result is { Length: > 0 } text && JsonElement.DeepEquals(JsonDocument.Parse(text).RootElement, expected.Result)))
        {
            Fail($"expected the result {expected.Result.GetRawText()}");
        }
        if (expected.ResultText is string pattern && !(seen.Result is not null && Matches(pattern, seen.Result)))
        {
            Fail($"expected a result like {pattern}");
        }
        CheckLog(expected);
        if (seen.Usable != (expected.Usable ?? (expected.Exit is null && (!orNothing || expected.Error is null))))
        {
            Fail($"usable is {seen.Usable}");
        }
    }

    private void CheckError(GuestErrorExpectation? expected)
    {
        if (expected is null != seen.Error is null)
        {
            Fail(expected is null ? "expected no error" : $"expected the error {expected.Type} {expected.Name}");
        }
        if (expected is null)
        {
            return;
        }
        InvocationError error = seen.Error!;
        if (error.Type.ToString() != expected.Type || error.Name != expected.Name || (expected.Message is not null && !Matches(expected.Message, error.Message)))
        {
            Fail($"expected the error {expected.Type} {expected.Name} \"{expected.Message}\"");
        }
        if (expected.StackTrace is not null
            && (expected.StackTrace.Count != error.StackTrace.Count || !expected.StackTrace.Zip(error.StackTrace).All(pair => Matches(pair.First, pair.Second))))
        {
            Fail("expected the stack trace\n  " + string.Join("\n  ", expected.StackTrace));
        }
    }

    private void CheckExit(GuestExitExpectation? expected)
    {
        if (expected is null != seen.Exit is null)
        {
            Fail(expected is null ? "expected no exit" : "expected an exit");
        }
        if (expected is null)
        {
            return;
        }
        SandboxExit exit = seen.Exit!;
        InvocationError error = GuestExits.Classify(exit, seen.Log, requestId);
        if ((expected is not { Code: null, Signal: null } && (exit.ExitCode != expected.Code || exit.Signal != expected.Signal)) || error.Type.ToString() != expected.Type || !Matches(expected.Message, error.Message))
        {
            Fail($"expected exit code {expected.Code}, signal {expected.Signal}, {expected.Type} \"{expected.Message}\"; classified as {error.Type} \"{error.Message}\"");
        }
    }

    private void CheckLog(GuestExpectation expected)
    {
        List<string> lines = [.. seen.Log.Lines.Select(line => Seen.Prefix(line.Stream) + line.Text)];
        if (expected.Log is not null && !(expected.Log.Count == lines.Count && expected.Log.Zip(lines).All(pair => Matches(pair.First, pair.Second))))
        {
            Fail("expected the log\n  " + string.Join("\n  ", expected.Log));
        }
        foreach (string pattern in expected.LogHas.Where(pattern => !lines.Any(line => Matches(pattern, line))))
        {
            Fail($"expected a log line {pattern}");
        }
    }

    private bool Matches(string pattern, string text) => Regex.IsMatch(
        text,
        "^(?:" + pattern.Replace("{root}", Regex.Escape(taskRoot), StringComparison.Ordinal).Replace("{id}", Regex.Escape(requestId), StringComparison.Ordinal)
            .Replace("{time}", @"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", StringComparison.Ordinal) + ")$",
        RegexOptions.Singleline | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(5));

    private void Fail(string why) => throw new GuestCaseException($"{why}\nseen: {seen}");
}

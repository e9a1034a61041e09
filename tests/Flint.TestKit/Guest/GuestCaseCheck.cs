using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>A guest did not behave as its case says.</summary>
public sealed class GuestCaseException(string message) : Exception(message);

/// <summary>What came of one step.</summary>
internal sealed class Seen(string step)
{
    public string? Result { get; set; }
    public InvocationError? Error { get; set; }
    public SandboxExit? Exit { get; set; }
    public string? Violation { get; set; }
    public CapturedLog Log { get; set; } = CapturedLog.Empty;
    public bool Usable { get; set; }

    public override string ToString()
    {
        StringBuilder text = new();
        text.AppendLine($"{step}: {What()}");
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

    private string What() => this switch
    {
        { Violation: not null } => $"violation: {Violation}",
        { Error: not null } => $"error {Error.Type} {Error.Name} \"{Error.Message}\"",
        { Exit: not null } => $"exit: {Exit}",
        _ => $"result {Shorten(Result)}",
    };

    private static string Shorten(string? text) => text is null ? "(none)" : text.Length <= 500 ? text : text[..500] + "...";
}

/// <summary>Compares what was seen of one step with what its case expects.</summary>
internal sealed class GuestCaseCheck(Seen seen, string taskRoot, string requestId)
{
    private static readonly TimeSpan PatternLimit = TimeSpan.FromSeconds(5);

    /// <param name="expected">What the case says.</param>
    /// <param name="orNothing">True for an init, which may have nothing to show but that it succeeded.</param>
    public void Check(GuestExpectation expected, bool orNothing)
    {
        if (!orNothing && expected is { Error: null, Exit: null, Violation: false, Result.ValueKind: JsonValueKind.Undefined, ResultText: null })
        {
            throw new GuestCaseException("the case expects nothing of this step");
        }
        if (expected.Violation != seen.Violation is not null)
        {
            Fail(expected.Violation ? "expected a violation" : "expected no violation");
        }
        CheckError(expected.Error);
        CheckExit(expected.Exit);
        CheckResult(expected);
        CheckLog(expected);
        bool failed = expected.Exit is not null || expected.Violation || (orNothing && expected.Error is not null);
        if (seen.Usable != (expected.Usable ?? !failed))
        {
            Fail($"usable is {seen.Usable}");
        }
    }

    private void CheckResult(GuestExpectation expected)
    {
        if (expected.Result.ValueKind != JsonValueKind.Undefined
            && !(seen.Result is { Length: > 0 } text && JsonElement.DeepEquals(JsonDocument.Parse(text).RootElement, expected.Result)))
        {
            Fail($"expected the result {expected.Result.GetRawText()}");
        }
        if (expected.ResultText is string pattern && !(seen.Result is not null && Matches(pattern, seen.Result)))
        {
            Fail($"expected a result like {pattern}");
        }
    }

    private void CheckError(GuestErrorExpectation? expected)
    {
        if (expected is null != seen.Error is null)
        {
            Fail(expected is null ? "expected no error" : $"expected the error {expected.Type} {expected.Name}");
        }
        if (expected is null || seen.Error is not { } error)
        {
            return;
        }
        bool same = error.Type.ToString() == expected.Type && error.Name == expected.Name;
        if (!same || (expected.Message is not null && !Matches(expected.Message, error.Message)))
        {
            Fail($"expected the error {expected.Type} {expected.Name} \"{expected.Message}\"");
        }
        if (expected.StackTrace is not null && !MatchAll(expected.StackTrace, error.StackTrace))
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
        if (expected is null || seen.Exit is not { } exit)
        {
            return;
        }
        InvocationError error = GuestExits.Classify(exit, seen.Log, requestId);
        bool sameWay = expected is { Code: null, Signal: null } || (exit.ExitCode == expected.Code && exit.Signal == expected.Signal);
        if (!sameWay || error.Type.ToString() != expected.Type || !Matches(expected.Message, error.Message))
        {
            Fail($"expected exit code {expected.Code}, signal {expected.Signal}, {expected.Type} \"{expected.Message}\"; "
                + $"classified as {error.Type} \"{error.Message}\"");
        }
    }

    private void CheckLog(GuestExpectation expected)
    {
        List<string> lines = [.. seen.Log.Lines.Select(line => Seen.Prefix(line.Stream) + line.Text)];
        if (expected.Log is not null && !MatchAll(expected.Log, lines))
        {
            Fail("expected the log\n  " + string.Join("\n  ", expected.Log));
        }
        foreach (string pattern in expected.LogHas.Where(pattern => !lines.Any(line => Matches(pattern, line))))
        {
            Fail($"expected a log line {pattern}");
        }
    }

    private bool MatchAll(IReadOnlyList<string> patterns, IReadOnlyList<string> texts) =>
        patterns.Count == texts.Count && patterns.Zip(texts).All(pair => Matches(pair.First, pair.Second));

    private bool Matches(string pattern, string text)
    {
        string expanded = pattern
            .Replace("{root}", Regex.Escape(taskRoot), StringComparison.Ordinal)
            .Replace("{id}", Regex.Escape(requestId), StringComparison.Ordinal)
            .Replace("{time}", @"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", StringComparison.Ordinal);
        return Regex.IsMatch(text, $"^(?:{expanded})$", RegexOptions.Singleline | RegexOptions.CultureInvariant, PatternLimit);
    }

    private void Fail(string why) => throw new GuestCaseException($"{why}\nseen: {seen}");
}

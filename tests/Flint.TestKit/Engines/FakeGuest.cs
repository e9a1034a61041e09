using System.Text;
using System.Text.Json;

namespace Flint.TestKit.Engines;

/// <summary>What a scripted guest does with an event.</summary>
public abstract record FakeAnswer
{
    /// <summary>A RESULT frame with these bytes.</summary>
    public sealed record Result(ReadOnlyMemory<byte> Bytes) : FakeAnswer;
    /// <summary>An ERROR frame.</summary>
    public sealed record Error(string Type, string Name, string Message) : FakeAnswer;
    /// <summary>Never answers.</summary>
    public sealed record Hang : FakeAnswer;
    /// <summary>The process ends with this status; the channel closes.</summary>
    public sealed record Exit(int Code) : FakeAnswer;
    /// <summary>The process is killed at its memory limit.</summary>
    public sealed record OutOfMemory : FakeAnswer;
    /// <summary>The process vanishes and nobody knows why.</summary>
    public sealed record Lost : FakeAnswer;
    /// <summary>The channel closes, the process lives on.</summary>
    public sealed record CloseChannel : FakeAnswer;
    /// <summary>The process ends, but something keeps the channel open.</summary>
    public sealed record ExitHoldingChannel(int Code) : FakeAnswer;
    /// <summary>These bytes, as they are.</summary>
    public sealed record Raw(byte[] Bytes) : FakeAnswer;
    /// <summary>LOG frames of 60 KB until the channel breaks.</summary>
    public sealed record Flood : FakeAnswer;

    public static FakeAnswer Json(string json) => new Result(Encoding.UTF8.GetBytes(json));
}

/// <summary>One event as the scripted guest sees it.</summary>
/// <param name="Number">1 for the sandbox's first event.</param>
public sealed record FakeEvent(FakeSandbox Sandbox, int Number, string RequestId, long DeadlineMs, byte[] Payload)
{
    public IReadOnlyDictionary<string, string> Environment => Sandbox.Spec.Environment;

    /// <summary>Writes a LOG frame.</summary>
    public ValueTask LogAsync(string text) => Sandbox.WriteLogAsync(text);

    /// <summary>Writes to the raw stderr.</summary>
    public void WriteRaw(string text) => Sandbox.WriteRaw(Encoding.UTF8.GetBytes(text));
}

/// <summary>How the guests of a <see cref="FakeEngine"/> behave.</summary>
public sealed class FakeScript
{
    /// <summary>Default: every event is echoed.</summary>
    public Func<FakeEvent, ValueTask<FakeAnswer>> OnEvent { get; set; } = e => ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Result(e.Payload));

    /// <summary>What comes after INIT: null is INIT_OK, <see cref="FakeAnswer.Error"/> is INIT_ERROR. Default: null.</summary>
    public Func<FakeSandbox, ValueTask<FakeAnswer?>> OnInit { get; set; } = _ => ValueTask.FromResult<FakeAnswer?>(null);

    /// <summary>What keeps the process from being a snapshot; nothing by default.</summary>
    public IReadOnlyList<string> Unsafe { get; set; } = [];

    public static FakeScript Answering(FakeAnswer answer) => new() { OnEvent = _ => ValueTask.FromResult(answer) };

    public static FakeScript FailingInit(FakeAnswer answer) => new() { OnInit = _ => ValueTask.FromResult<FakeAnswer?>(answer) };
}

internal static class FakeFrames
{
    public const byte Init = 0x01, Invoke = 0x02, Ready = 0x81, InitOk = 0x82, InitError = 0x83, Log = 0x84, Result = 0x85, Error = 0x86;

    public static byte[] Make(byte kind, params ReadOnlySpan<byte[]> parts)
    {
        var length = 0;
        foreach (var part in parts)
        {
            length += part.Length;
        }
        var frame = new byte[8 + length];
        frame[0] = 1;
        frame[1] = kind;
        BitConverter.TryWriteBytes(frame.AsSpan(4), length);
        var at = 8;
        foreach (var part in parts)
        {
            part.CopyTo(frame, at);
            at += part.Length;
        }
        return frame;
    }

    public static byte[] ErrorJson(FakeAnswer.Error error) => JsonSerializer.SerializeToUtf8Bytes(
        new { type = error.Type, name = error.Name, message = error.Message, stackTrace = Array.Empty<string>() });
}

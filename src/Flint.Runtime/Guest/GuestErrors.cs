using System.Text.Json;
using Flint.Runtime.Invocation;

namespace Flint.Runtime.Guest;

/// <summary>Reads the error JSON of INIT_ERROR and ERROR frames; every part is hostile and bounded.</summary>
internal static class GuestErrors
{
    private const int MaxName = 256;
    private const int MaxMessage = 32 * 1024;
    private const int MaxFrame = 4 * 1024;
    private const int MaxFrames = 256;
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 8 };

    /// <summary>Throws <see cref="GuestProtocolException"/> when the body is not an error.</summary>
    /// <param name="json">The error JSON.</param>
    /// <param name="ends">The guest says that it ends after this answer.</param>
    public static InvocationError Parse(ReadOnlyMemory<byte> json, out bool ends)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, Options);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new GuestProtocolException("an error frame's body is not a JSON object");
            }
            ends = root.TryGetProperty("fatal"u8, out JsonElement fatal) && fatal.ValueKind == JsonValueKind.True;
            return new InvocationError(
                MapType(root), Text(root, "name"u8, MaxName) ?? "Unknown", Text(root, "message"u8, MaxMessage) ?? "", StackTrace(root));
        }
        catch (JsonException)
        {
            throw new GuestProtocolException("an error frame's body is not JSON");
        }
        catch (InvalidOperationException)
        {
            // Valid JSON with a member's name that is no text: comparing it with the name that is looked for throws.
            throw new GuestProtocolException("an error frame names a member that is not valid Unicode");
        }
    }

    /// <summary>The guest may only claim what is in its own power to cause.</summary>
    private static FaultType MapType(JsonElement root) => Text(root, "type"u8, MaxName) switch
    {
        nameof(FaultType.ImportError) => FaultType.ImportError,
        nameof(FaultType.HandlerNotFound) => FaultType.HandlerNotFound,
        nameof(FaultType.SyntaxError) => FaultType.SyntaxError,
        nameof(FaultType.ResponseTooLarge) => FaultType.ResponseTooLarge,
        nameof(FaultType.InvalidResponse) => FaultType.InvalidResponse,
        nameof(FaultType.ExitedEarly) => FaultType.ExitedEarly,
        _ => FaultType.Unhandled,
    };

    private static List<string> StackTrace(JsonElement root)
    {
        List<string> frames = [];
        if (root.TryGetProperty("stackTrace"u8, out JsonElement trace) && trace.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement frame in trace.EnumerateArray())
            {
                if (frames.Count == MaxFrames)
                {
                    break;
                }
                frames.Add(Text(frame, MaxFrame) ?? "");
            }
        }
        return frames;
    }

    private static string? Text(JsonElement root, ReadOnlySpan<byte> name, int maxLength) =>
        root.TryGetProperty(name, out JsonElement value) ? Text(value, maxLength) : null;

    private static string? Text(JsonElement value, int maxLength)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            return null;
        }
        try
        {
            return GuestText.Part(value.GetString()!, maxLength);
        }
        catch (InvalidOperationException)
        {
            // An escaped lone surrogate: valid JSON that is no text.
            return "(text that is not valid Unicode)";
        }
    }
}

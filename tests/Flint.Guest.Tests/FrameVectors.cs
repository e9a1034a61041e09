using System.Text.Json;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>guest/conformance/frames.json.</summary>
internal sealed record FrameVectors(List<ToWorkerVector> ToWorker, List<ToGuestVector> ToGuest)
{
    public static FrameVectors Load() => JsonSerializer.Deserialize<FrameVectors>(
        File.ReadAllText(Path.Combine(GuestCases.GuestDirectory, "conformance", "frames.json")), JsonSerializerOptions.Web)!;
}

/// <summary>Bytes of a guest, and what the worker makes of them: frames, or a violation whose message has these words.</summary>
internal sealed record ToWorkerVector(string Name, string State, string Hex, List<FrameVector>? Frames, string? Violation, bool Oversized)
{
    public byte[] Bytes => Convert.FromHexString(Hex);
}

internal sealed record FrameVector(string Kind, string Body);

/// <summary>Bytes of a worker, after which the stream ends, and what a guest that echoes its event does: it answers so, or it ends with this status.</summary>
internal sealed record ToGuestVector(string Name, string State, string Hex, string? Answer, int? Exit);

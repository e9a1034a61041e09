using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

public sealed class FrameReaderTests
{
    public static TheoryData<string> Names { get; } = [.. FrameVectors.Load().ToWorker.Select(vector => vector.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_vector_reads_the_same_in_any_pieces(string name)
    {
        ToWorkerVector vector = FrameVectors.Load().ToWorker.Single(v => v.Name == name);
        foreach (int chunk in new[] { int.MaxValue, 1, 3, 7, 64 })
        {
            (List<string> frames, string? violation) = await ReadAsync(vector, chunk);
            if (vector.Violation is not null)
            {
                violation.ShouldNotBeNull().ShouldContain(vector.Violation);
            }
            else
            {
                violation.ShouldBeNull();
                frames.ShouldBe(vector.Frames!.Select(frame => $"{frame.Kind} {frame.Body}{(vector.Oversized ? " oversized" : "")}"));
            }
        }
    }

    [Fact]
    public async Task A_large_result_gets_an_array_of_its_own()
    {
        byte[] body = new byte[1_000_000];
        Random.Shared.NextBytes(body);
        ScriptedStream stream = new(chunk: 50_000, staysOpen: false);
        stream.Queue([GuestFrames.Log(1, "before"u8), GuestFrames.Make(0x85, body), GuestFrames.Log(2, "after"u8)]);
        FrameReader reader = new(stream, new GuestLimits());
        reader.Begin();

        (await NextAsync(reader)).Body.ToArray().ShouldBe([1, .. "before"u8]);
        Frame result = await NextAsync(reader);
        (await NextAsync(reader)).Body.ToArray().ShouldBe([2, .. "after"u8]);

        result.Owned.ShouldBeTrue();
        result.Body.ToArray().ShouldBe(body);
    }

    [Fact]
    public void A_header_over_its_limit_makes_no_room()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            Should.Throw<GuestProtocolException>(() =>
                FrameHeader.Parse([1, 0x84, 0, 0, 0xff, 0xff, 0xff, 0xff], FrameKinds.WhileInvoking, new GuestLimits()));
        }
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(1_000_000);
    }

    private static async Task<Frame> NextAsync(FrameReader reader)
    {
        Frame frame;
        while (!reader.TryRead(FrameKinds.WhileInvoking, out frame))
        {
            await reader.FillAsync(CancellationToken.None);
        }
        return frame;
    }

    private static async Task<(List<string> Frames, string? Violation)> ReadAsync(ToWorkerVector vector, int chunk)
    {
        FrameKinds legal = vector.State switch
        {
            "start" => FrameKinds.Ready,
            "init" => FrameKinds.WhileInit,
            _ => FrameKinds.WhileInvoking,
        };
        ScriptedStream stream = new(chunk, staysOpen: false);
        stream.Queue([vector.Bytes]);
        FrameReader reader = new(stream, new GuestLimits());
        reader.Begin();
        List<string> frames = [];
        try
        {
            while (true)
            {
                while (reader.TryRead(legal, out Frame frame))
                {
                    frames.Add($"{frame.Kind} {Convert.ToHexStringLower(frame.Body.Span)}{(frame.Oversized ? " oversized" : "")}");
                    if (frame.Oversized)
                    {
                        return (frames, null);
                    }
                }
                await reader.FillAsync(CancellationToken.None);
            }
        }
        catch (GuestClosedException)
        {
            return (frames, null);
        }
        catch (GuestProtocolException e)
        {
            return (frames, e.Message);
        }
    }
}

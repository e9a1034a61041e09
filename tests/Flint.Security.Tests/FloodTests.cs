using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>Guests that send more than anybody can keep: the server's memory stays flat, and other functions go on answering.</summary>
public sealed class FloodTests(Workers workers)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    [Theory]
    [InlineData("protocol.log_frames", Languages.Python)]
    [InlineData("protocol.log_frames", Languages.Node)]
    [InlineData("protocol.tiny_log_frames", Languages.Python)]
    public async Task A_flood_of_log_frames_until_the_timeout(string handler, Languages language)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function(handler, language) with { TimeoutMs = 2500 };
        await using var memory = new MemoryWatch();

        var flood = bench.Worker.InvokeAsync(function, """{"seconds":30}""");
        await AnswersMeanwhileAsync(bench, flood);
        var outcome = await flood;

        outcome.ShouldHaveFailed(FaultType.TimedOut);
        outcome.Log.DroppedLines.ShouldBeGreaterThan(100, outcome.Describe());
        ShouldBeCapped(outcome);
        await memory.ShouldHaveStayedFlatAsync();
        await bench.NothingIsLeftAsync(function);
    }

    [Theory]
    [InlineData(Languages.Python)]
    [InlineData(Languages.Node)]
    public async Task Hundreds_of_megabytes_of_raw_output(Languages language)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.raw_output", language) with { TimeoutMs = 30_000 };
        await using var memory = new MemoryWatch();

        var flood = bench.Worker.InvokeAsync(function, """{"what":"much","mb":300}""");
        await AnswersMeanwhileAsync(bench, flood);
        var outcome = await flood;

        outcome.ShouldHaveCompleted();
        outcome.Json().GetProperty("marker").GetString().ShouldBe("genuine");
        ShouldBeCapped(outcome);
        await memory.ShouldHaveStayedFlatAsync();
        await bench.NothingIsLeftAsync(function);
    }

    [Fact]
    public async Task Several_floods_at_once()
    {
        var bench = await workers.ProductAsync();
        var functions = Enumerable.Range(0, 4).Select(_ => bench.Function("protocol.log_frames", Languages.Python) with { TimeoutMs = 2000 }).ToList();
        await using var memory = new MemoryWatch();

        var floods = Task.WhenAll(functions.Select(function => bench.Worker.InvokeAsync(function, """{"seconds":30}""")));
        await AnswersMeanwhileAsync(bench, floods);

        (await floods).ShouldAllBe(static outcome => outcome.Error!.Type == FaultType.TimedOut);
        await memory.ShouldHaveStayedFlatAsync(heapMb: 128, residentMb: 256);
        foreach (var function in functions)
        {
            await bench.NothingIsLeftAsync(function);
        }
    }

    [Theory]
    [InlineData("4 GiB log")]
    [InlineData("4 GiB error")]
    [InlineData("4 GiB result")]
    public async Task Lengths_that_are_claimed_are_not_allocated(string claim)
    {
        var bench = await workers.ProductAsync();
        await using var memory = new MemoryWatch();

        for (var i = 0; i < 5; i++)
        {
            var outcome = await bench.Worker.InvokeAsync(bench.Function("protocol.speak", Languages.Python), $$"""{"say":"{{claim}}"}""");
            outcome.ShouldHaveFailed(FaultType.ProtocolViolation, FaultType.ResponseTooLarge);
        }

        await memory.ShouldHaveStayedFlatAsync(heapMb: 32);
    }

    [Fact]
    public async Task A_result_of_100_MB_that_was_sent_past_the_bootstrap()
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.speak", Languages.Python) with { MemoryMb = 512 };
        await using var memory = new MemoryWatch();

        var outcome = await bench.Worker.InvokeAsync(function, """{"say":"result too large","mb":100}""");

        outcome.ShouldHaveFailed(FaultType.ResponseTooLarge);
        await memory.ShouldHaveStayedFlatAsync(heapMb: 32);
        await bench.NothingIsLeftAsync(function);
    }

    [Fact]
    public async Task Descriptors_that_travel_with_frames_do_not_arrive()
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.speak", Languages.Python);
        await bench.NeighbourAnswersAsync();
        var before = Descriptors();

        var outcome = await bench.Worker.InvokeAsync(function, """{"say":"descriptors","count":200}""");

        TestContext.Current.TestOutputHelper?.WriteLine(outcome.Describe());
        (Descriptors() - before).ShouldBeLessThan(100, outcome.Describe());
        await bench.NothingIsLeftAsync(function);
    }

    [Fact]
    public async Task A_guest_that_does_not_read_its_event_is_timed_out()
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.deaf", Languages.Python) with { TimeoutMs = 1500, Freshness = Freshness.Warm };
        (await bench.Worker.InvokeAsync(function, """{"deaf":true}""")).ShouldHaveCompleted();
        // Its alarm goes off when it runs again, and then it never comes back to read.
        var large = new byte[5 << 20];
        Array.Fill(large, (byte)' ');
        "{\"deaf\":false}"u8.CopyTo(large);

        var outcomes = new List<InvocationOutcome>();
        for (var i = 0; i < 20 && outcomes.All(static outcome => outcome.Status == InvocationStatus.Completed); i++)
        {
            outcomes.Add(await bench.Worker.InvokeAsync(function, large));
        }

        outcomes[^1].ShouldHaveFailed(FaultType.TimedOut);
        await bench.NothingIsLeftAsync(function);
    }

    private static async Task AnswersMeanwhileAsync(Bench bench, Task flood)
    {
        var answers = 0;
        while (!flood.IsCompleted)
        {
            await bench.NeighbourAnswersAsync().WaitAsync(Patience);
            answers++;
            await Task.WhenAny(flood, Task.Delay(20));
        }

        answers.ShouldBeGreaterThan(3, "the neighbour answered too rarely");
    }

    private static void ShouldBeCapped(InvocationOutcome outcome)
    {
        outcome.Log.Lines.Sum(static line => (long)line.Text.Length).ShouldBeLessThan(2 << 20);
        outcome.Log.Lines.Count.ShouldBeLessThan(100_000);
        outcome.Log.DroppedBytes.ShouldBeGreaterThan(0);
    }

    private static int Descriptors() => Directory.GetFiles("/proc/self/fd").Length;
}

using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>What one invocation leaves for the next: nothing to a fresh sandbox; to a warm one only what is the function's own.</summary>
public sealed class ReuseTests(Workers workers)
{
    [Theory]
    [InlineData("disk.leave_a_note", Languages.Python, "{}")]
    [InlineData("disk.leave_a_note", Languages.Node, "{}")]
    [InlineData("ipc.shared_memory", Languages.Python, """{"find":true}""")]
    public async Task What_a_sandbox_leaves_is_found_by_the_same_warm_one_only(string handler, Languages language, string payload)
    {
        var bench = await workers.ProductAsync();
        var warm = bench.Function(handler, language) with { Freshness = Freshness.Warm };
        (await bench.Worker.InvokeAsync(warm, payload)).ShouldHaveCompleted();
        (await bench.Worker.InvokeAsync(warm, payload)).Worked().ShouldBeTrue("the control: a warm sandbox finds what it left");

        var fresh = bench.Function(handler, language);
        (await bench.Worker.InvokeAsync(fresh, payload)).Worked().ShouldBeFalse("another function's");
        (await bench.Worker.InvokeAsync(fresh, payload)).Worked().ShouldBeFalse("the fresh sandbox's before it");
        (await bench.Worker.InvokeAsync(warm with { Revision = "2" }, payload)).Worked().ShouldBeFalse("the revision before");
        (await bench.Worker.InvokeAsync(warm with { TenantId = "other" }, payload)).Worked().ShouldBeFalse("another tenant's");
    }

    [Theory]
    [InlineData("""{"twice":false}""")]
    [InlineData("""{"twice":true}""")]
    public async Task A_second_answer_never_becomes_the_next_invocations(string payload)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.two_results", Languages.Python) with { Freshness = Freshness.Warm };

        for (var i = 0; i < 6; i++)
        {
            var (id, outcome) = await bench.Worker.InvokeWithIdAsync(function, payload);
            if (outcome.Status == InvocationStatus.Completed)
            {
                outcome.Json().GetProperty("request").GetString().ShouldBe(id, outcome.Describe());
            }
            else
            {
                // The stale answer is the first thing that the next invocation reads.
                payload.ShouldContain("true");
                outcome.ShouldHaveFailed(FaultType.ProtocolViolation);
            }
        }
    }

    [Fact]
    public async Task The_true_nonce_lets_a_function_answer_for_itself_only()
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("protocol.speak", Languages.Python);

        var outcome = await bench.Worker.InvokeAsync(function, """{"say":"own answer by hand"}""");

        outcome.ShouldHaveCompleted();
        outcome.Json().GetProperty("byHand").GetBoolean().ShouldBeTrue("the control: the program can speak the protocol");
        await bench.NothingIsLeftAsync(function);
    }

    [Theory]
    [InlineData(Languages.Python)]
    [InlineData(Languages.Node)]
    public async Task A_background_task_cannot_answer_for_the_next_invocation(Languages language)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("exits.answer_later", language) with { Freshness = Freshness.Warm };
        await AnswersForItself(bench, function, """{"first":true}""");

        for (var i = 0; i < 5; i++)
        {
            var outcome = await AnswersForItself(bench, function, """{"first":false}""");
            outcome.Json().GetProperty("count").GetInt32().ShouldBe(i + 2, "the sandbox stays warm");
        }
    }

    [Theory]
    [InlineData("""{"twice":false}""")]
    [InlineData("""{"twice":true}""")]
    public async Task A_callback_called_twice_answers_once(string payload)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("exits.callback_twice", Languages.Node) with { Freshness = Freshness.Warm };

        for (var i = 0; i < 5; i++)
        {
            await AnswersForItself(bench, function, payload);
        }
    }

    [Theory]
    [InlineData("exits.pollute", Languages.Node, """{"pollute":true}""", """{"pollute":false}""")]
    [InlineData("protocol.sabotage", Languages.Python, """{"replace":true}""", """{"replace":false}""")]
    public async Task Sabotage_of_its_own_runtime_harms_the_function_alone(string handler, Languages language, string hostile, string harmless)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function(handler, language) with { Freshness = Freshness.Warm, TimeoutMs = 2000 };
        (await bench.Worker.InvokeAsync(function with { Version = "7" }, harmless)).ShouldHaveCompleted();

        foreach (var payload in (string[])[hostile, harmless])
        {
            var outcome = await bench.Worker.InvokeAsync(function, payload);
            TestContext.Current.TestOutputHelper?.WriteLine(outcome.Describe());
            (outcome.Error?.Type.Owner() ?? FaultOwner.Function).ShouldBe(FaultOwner.Function, outcome.Describe());
        }

        (await bench.Worker.InvokeAsync(function with { Revision = "2" }, harmless)).ShouldHaveCompleted();
        await bench.NeighbourAnswersAsync();
    }

    [Fact]
    public async Task An_orphan_of_a_warm_sandbox_stands_still_between_invocations()
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("processes.orphan", Languages.Python) with { Freshness = Freshness.Warm };
        (await bench.Worker.InvokeAsync(function, "{}")).ShouldHaveCompleted();
        var first = await CountAsync(bench, function);

        await Eventually.True(() => bench.Worker.Leftovers.Frozen(function.TenantId), "the kernel says that it is frozen", 10, static () => "it is awake");

        await Eventually.True(() => CountAsync(bench, function).GetAwaiter().GetResult() > first, "the control: the orphan runs when its sandbox does", 10,
            static () => "it stands still");
    }

    [Fact]
    public async Task Control_characters_in_output_reach_no_reader_of_the_log()
    {
        var bench = await workers.ProductAsync();

        foreach (var what in (string[])["escapes", "invalid UTF-8", "no newline"])
        {
            var outcome = await bench.Worker.InvokeAsync(bench.Function("protocol.raw_output", Languages.Python), $$"""{"what":"{{what}}","mb":0}""");
            outcome.ShouldHaveCompleted();
            var text = string.Concat(outcome.Log.Lines.Select(static line => line.Text));
            text.ShouldNotBeEmpty();
            text.Where(static c => char.IsControl(c) && c is not ('\t' or '\r')).ShouldBeEmpty();
            outcome.Log.Lines.Count(static line => line.Text.StartsWith("END RequestId", StringComparison.Ordinal)).ShouldBe(1, outcome.Describe());
        }
    }

    /// <summary>A completed outcome must carry this very invocation's id.</summary>
    private static async Task<InvocationOutcome> AnswersForItself(Bench bench, FunctionSpec function, string payload)
    {
        var (id, outcome) = await bench.Worker.InvokeWithIdAsync(function, payload);
        outcome.ShouldHaveCompleted();
        outcome.Json().GetProperty("request").GetString().ShouldBe(id, outcome.Describe());
        outcome.Json().TryGetProperty("forged", out _).ShouldBeFalse(outcome.Describe());
        return outcome;
    }

    private static async Task<int> CountAsync(Bench bench, FunctionSpec function)
    {
        var outcome = await bench.Worker.InvokeAsync(function, "{}");
        outcome.ShouldHaveCompleted();
        var seen = outcome.Json().GetProperty("seen");
        return seen.ValueKind == JsonValueKind.Number ? seen.GetInt32() : 0;
    }
}

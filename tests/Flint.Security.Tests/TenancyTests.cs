using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>Group 15: what an invocation leaves behind, place by place, and who finds it.</summary>
public sealed class TenancyTests(Workers workers)
{

    public static IEnumerable<TheoryDataRow<Languages, Mode>> Rows => Modes.Rows();

    [Theory]
    [InlineData(Languages.Python)]
    [InlineData(Languages.Node)]
    public async Task A_warm_sandbox_shows_every_mark_to_its_own_function(Languages language)
    {
        var bench = await workers.ProductAsync();
        foreach (var mode in Modes.Built.Except([Mode.Snapshot]))
        {
            var warm = bench.Function("tenancy.visit", language).In(mode) with { Freshness = Freshness.Warm };
            (await bench.Worker.InvokeAsync(warm, "{}")).Found().ShouldBeEmpty("nothing is there at first");

            var outcome = await bench.Worker.InvokeAsync(warm, "{}");

            // The control of the tests below: each mark can be left and be seen.
            Places(language).Except(outcome.Found()).ShouldBeEmpty(outcome.Describe());
            await NobodyElseFindsAnythingAsync(bench, warm);
            bench.Worker.Retire(warm);
        }
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task One_process_per_invocation_shows_nothing_to_the_next(Languages language, Mode mode)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("tenancy.visit", language).In(mode);

        for (var i = 0; i < 4; i++)
        {
            var outcome = await bench.Worker.InvokeAsync(function, "{}");
            outcome.Found().ShouldBeEmpty($"invocation {i + 1}: {outcome.Describe()}");
        }

        await NobodyElseFindsAnythingAsync(bench, function);
        await bench.NothingIsLeftAsync(function);
    }

    /// <summary>What is drawn anew for each invocation never repeats; what a snapshot drew during its init does, and is documented to.</summary>
    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Random_values_do_not_repeat(Languages language, Mode mode)
    {
        const int Draws = 24;
        var bench = await workers.ProductAsync();
        var function = bench.Function("randomness.draw", language).In(mode);

        var drawn = new List<JsonElement>();
        for (var i = 0; i < Draws; i++)
        {
            var outcome = await bench.Worker.InvokeAsync(function, "{}");
            outcome.ShouldHaveCompleted();
            drawn.Add(outcome.Json());
        }

        foreach (var source in drawn[0].GetProperty("now").EnumerateObject().Select(static member => member.Name))
        {
            drawn.Select(answer => answer.GetProperty("now").GetProperty(source).GetRawText()).Distinct().Count().ShouldBe(Draws, source);
        }

        drawn.Select(static answer => answer.GetProperty("atInit").GetRawText()).Distinct().Count().ShouldBe(mode == Mode.Snapshot ? 1 : Draws, "drawn during init");
        bench.Worker.Retire(function);
    }

    private static async Task NobodyElseFindsAnythingAsync(Bench bench, FunctionSpec function)
    {
        FunctionSpec[] others =
        [
            function with { FunctionId = function.FunctionId + "-other" },
            function with { Version = "2" },
            function with { Revision = "2" },
            function with { TenantId = function.TenantId + "-other" },
        ];
        foreach (var other in others)
        {
            var outcome = await bench.Worker.InvokeAsync(other, """{"leave":false}""");
            outcome.Found().ShouldBeEmpty($"{other.Key}: {outcome.Describe()}");
            bench.Worker.Retire(other);
        }
    }

    private static IEnumerable<string> Places(Languages language) => language == Languages.Python
        ? ["file in /tmp", "file in /dev/shm", "global", "patched module", "patched builtin", "environment", "C environment", "working directory", "sys.path",
            "import hook", "thread", "orphan", "listener on the loopback", "abstract socket", "time zone", "locale", "umask", "signal handler", "resource limit",
            "niceness", "System V segment", "name of the process"]
        : ["file in /tmp", "file in /dev/shm", "module variable", "global", "Object.prototype", "patched module", "patched function", "require cache", "environment",
            "working directory", "time zone", "umask", "exit hook", "timer", "listener on the loopback", "abstract socket", "child", "worker thread"];
}

file static class Visits
{
    public static IReadOnlyList<string> Found(this InvocationOutcome outcome)
    {
        outcome.ShouldHaveCompleted();
        return [.. outcome.Json().GetProperty("found").EnumerateArray().Select(static place => place.GetString()!)];
    }
}

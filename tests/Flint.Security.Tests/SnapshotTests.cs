using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>
/// What an invocation of a snapshot leaves for the next one, whatever it does to itself, to its /tmp, to its cell and to the template: nothing. Each trick is followed by an invocation that
/// looks everywhere, whose answer must be that of the first one.
/// </summary>
public sealed class SnapshotTests(Workers workers)
{
    /// <summary>They take the template along, or make the worker give it up (a violation of the protocol), so the next invocation has a new one; it must be as good.</summary>
    private static readonly string[] Killers = ["a killed template", "everything killed", "too much memory", "its channel"];

    private static readonly string[] PythonTricks =
    [
        "nothing", "its own state", "a daemon", "a daemon that forks on and on", "a daemon that fills /tmp", "a listening daemon", "a daemon with a lock", "a spoilt /tmp", "a full /tmp",
        "signals to the template", "a stopped template", "a killed template", "everything killed", "everything stopped", "descriptors", "its channel", "its own end",
        "too much memory", "every way into the template",
    ];

    private static readonly string[] NodeTricks =
    [
        "nothing", "its own state", "a daemon", "a daemon that forks on and on", "a listening socket", "a spoilt /tmp", "a stopped template", "a killed template", "its own end",
    ];

    public static IEnumerable<TheoryDataRow<Languages, string>> Tricks => !Modes.Built.Contains(Mode.Snapshot) ? [] :
    [
        .. PythonTricks.Select(static trick => new TheoryDataRow<Languages, string>(Languages.Python, trick)),
        .. NodeTricks.Select(static trick => new TheoryDataRow<Languages, string>(Languages.Node, trick)),
    ];

    [Theory(SkipTestWithoutData = true)]
    [MemberData(nameof(Tricks))]
    public async Task The_next_invocation_finds_the_state_that_init_left(Languages language, string trick)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("snapshot.either", language).In(Mode.Snapshot) with { TimeoutMs = 3000 };
        var first = await LookAsync(bench, function);

        for (var round = 0; round < 2; round++)
        {
            var outcome = await bench.Worker.InvokeAsync(function, JsonSerializer.Serialize(new { what = trick }));
            TestContext.Current.TestOutputHelper?.WriteLine(outcome.Describe());
            (outcome.Error?.Type.Owner() ?? FaultOwner.Function).ShouldBe(FaultOwner.Function, outcome.Describe());

            var next = await LookAsync(bench, function);

            next.GetProperty("state").GetRawText().ShouldBe(first.GetProperty("state").GetRawText(), $"after {trick}");
            if (!Killers.Contains(trick))
            {
                next.GetProperty("atInit").GetString().ShouldBe(first.GetProperty("atInit").GetString(), "it is the same template");
            }
        }

        await bench.NothingIsLeftAsync(function);
    }

    /// <summary>The wall of the test above is what kills a fork's processes and puts /tmp back; without it the next invocation finds what was left.</summary>
    [Theory(SkipTestWithoutData = true)]
    [InlineData(Languages.Python, "a daemon")]
    [InlineData(Languages.Python, "a spoilt /tmp")]
    [InlineData(Languages.Node, "a daemon")]
    public async Task Without_the_renewal_it_finds_what_was_left(Languages language, string trick)
    {
        var bench = await workers.WithoutAsync("renew");
        var function = bench.Function("snapshot.either", language).In(Mode.Snapshot) with { TimeoutMs = 3000 };
        var first = await LookAsync(bench, function);

        (await bench.Worker.InvokeAsync(function, JsonSerializer.Serialize(new { what = trick }))).ShouldHaveCompleted();

        (await LookAsync(bench, function)).GetProperty("state").GetRawText().ShouldNotBe(first.GetProperty("state").GetRawText());
        bench.Worker.Retire(function);
    }

    /// <summary>The control: a process that is not forked anew shows what was done to it.</summary>
    [Theory]
    [InlineData(Languages.Python)]
    [InlineData(Languages.Node)]
    public async Task A_warm_sandbox_shows_the_same_tricks(Languages language)
    {
        var bench = await workers.ProductAsync();
        foreach (var trick in (string[])["its own state", "a daemon", "a spoilt /tmp"])
        {
            var warm = bench.Function("snapshot.either", language).In(Mode.Exec) with { Freshness = Freshness.Warm, TimeoutMs = 3000 };
            var first = await LookAsync(bench, warm);
            (await bench.Worker.InvokeAsync(warm, JsonSerializer.Serialize(new { what = trick }))).ShouldHaveCompleted();

            (await LookAsync(bench, warm)).GetProperty("state").GetRawText().ShouldNotBe(first.GetProperty("state").GetRawText(), trick);
            bench.Worker.Retire(warm);
        }
    }

    [Theory(SkipTestWithoutData = true)]
    [MemberData(nameof(Unsafe))]
    public async Task What_a_fork_would_lose_or_share_is_refused(Languages language, string what)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("snapshot_unsafe.handler", language).In(Mode.Snapshot);
        function = function with { Environment = function.Environment.Add("KEEP", what) };

        var outcome = await bench.Worker.InvokeAsync(function, "{}");

        if (what == "nothing")
        {
            outcome.ShouldHaveCompleted();
        }
        else
        {
            outcome.ShouldHaveFailed(FaultType.SnapshotUnsafe);
            TestContext.Current.TestOutputHelper?.WriteLine(outcome.Error!.Message);
        }

        await bench.NothingIsLeftAsync(function);
    }

    /// <summary>While it initialises, the function holds the socket over which it is told to fork: whatever it does with that is its own loss.</summary>
    [Theory(SkipTestWithoutData = true)]
    [MemberData(nameof(Sockets))]
    public async Task What_is_done_to_the_control_socket_ends_the_function_alone(string what)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("snapshot_unsafe.handler", Languages.Python).In(Mode.Snapshot);
        function = function with { Environment = function.Environment.Add("KEEP", what), TimeoutMs = 2000 };

        for (var i = 0; i < 3; i++)
        {
            var outcome = await bench.Worker.InvokeAsync(function, "{}");

            TestContext.Current.TestOutputHelper?.WriteLine(outcome.Describe());
            (outcome.Error?.Type.Owner() ?? FaultOwner.Function).ShouldBe(FaultOwner.Function, outcome.Describe());
        }

        await bench.NothingIsLeftAsync(function);
    }

    public static IEnumerable<TheoryDataRow<string>> Sockets => !Modes.Built.Contains(Mode.Snapshot) ? [] :
    [
        new("garbage on its control socket"), new("a descriptor sent over its control socket"), new("a control socket that is closed"), new("a control socket that is another"),
    ];

    public static IEnumerable<TheoryDataRow<Languages, string>> Unsafe => !Modes.Built.Contains(Mode.Snapshot) ? [] :
    [
        .. new[] { "nothing", "thread", "child", "socket", "listener", "pipe", "shared mapping", "writable file", "cwd in /tmp", "timerfd", "epoll", "hostile names" }
            .Select(static what => new TheoryDataRow<Languages, string>(Languages.Python, what)),
        .. new[] { "nothing", "worker", "child", "listener" }.Select(static what => new TheoryDataRow<Languages, string>(Languages.Node, what)),
    ];

    private static async Task<JsonElement> LookAsync(Bench bench, FunctionSpec function)
    {
        var outcome = await bench.Worker.InvokeAsync(function, """{"what":"look"}""");
        outcome.ShouldHaveCompleted();
        return outcome.Json();
    }
}

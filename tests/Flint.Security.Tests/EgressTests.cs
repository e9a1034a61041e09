using System.Text.Json;
using Flint.Engines.Native.Egress;
using Flint.Runtime.Sandboxing;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>
/// Functions with a network, from their language down to a small internet: public names are reached, and nothing that is private, whatever a name says.
/// The walls one by one, and what a hostile guest tries of them, are native/tests/test_egress.py's.
/// </summary>
public sealed class EgressTests
{
    private static readonly string[] Public = ["8.8.8.8", "2600:99::1", "public.test", "public6.test"];
    private static readonly string[] Closed =
        ["10.9.9.9", "169.254.169.254", "45.10.0.2", "fd99::1", "64:ff9b::a09:909", "::ffff:10.9.9.9", "private.test", "metadata.test", "host.test", "loopback.test"];

    private static readonly Mode[] AllModes = [Mode.Exec, Mode.Zygote, Mode.Snapshot];

    [Fact]
    public async Task Public_names_are_reached_and_private_ones_are_not_whatever_they_resolve_to()
    {
        Requirements.Root();
        await using var internet = await Internet.StartAsync();
        using var code = new CodeFolder();
        await using var worker = await StartAsync(internet, code, null);
        foreach (var (language, mode) in from language in (Languages[])[Languages.Python, Languages.Node] from mode in AllModes select (language, mode))
        {
            var bench = new Bench(worker);
            var function = bench.Function("egress.reach", language).In(mode) with { Network = NetworkAccess.Egress };
            for (var i = 0; i < 2; i++)
            {
                var answers = await ReachAsync(worker, function, [.. Public, .. Closed]);

                Public.Select(host => answers[host]).ShouldBe(["tcp 8.8.8.8", "tcp 2600:99::1", "tcp 8.8.8.8", "tcp 2600:99::1"], $"{language} {mode}");
                Closed.Where(host => answers[host].StartsWith("tcp", StringComparison.Ordinal) || answers[host].StartsWith("host", StringComparison.Ordinal))
                    .ShouldBeEmpty($"{language} {mode}");
            }

            var resolved = await worker.InvokeAsync(
                bench.Function("egress.resolve", language).In(mode) with { Network = NetworkAccess.Egress }, """{"name":"public.test"}""");
            resolved.ShouldHaveCompleted();
            resolved.Json().GetProperty("addresses").EnumerateArray().Select(static address => address.GetString()).ShouldBe(["8.8.8.8"], $"{language} {mode}");

            var none = await ReachAsync(worker, bench.Function("egress.reach", language).In(mode), [.. Public, .. Closed]);
            none.Values.ShouldAllBe(static answer => !answer.StartsWith("tcp", StringComparison.Ordinal) && !answer.StartsWith("host", StringComparison.Ordinal));
            worker.RetireAll();
        }
    }

    [Fact]
    public async Task Connections_of_one_invocation_of_a_snapshot_are_not_the_nexts()
    {
        Requirements.Root();
        await using var internet = await Internet.StartAsync();
        using var code = new CodeFolder();
        await using var worker = await StartAsync(internet, code, null);
        var function = new Bench(worker).Function("egress.occupy", Languages.Python).In(Mode.Snapshot) with { Network = NetworkAccess.Egress, TimeoutMs = 60_000 };
        for (var i = 0; i < 2; i++)
        {
            var outcome = await worker.InvokeAsync(function, """{"host":"8.8.8.8","count":600}""");

            outcome.ShouldHaveCompleted();
            outcome.Json().GetProperty("before").GetString().ShouldBe("tcp 8.8.8.8", $"invocation {i}");
            outcome.Json().GetProperty("after").GetString().ShouldBe("EHOSTUNREACH", $"invocation {i}");
        }
    }

    /// <summary>The control of the first test: every address that is closed there is alive.</summary>
    [Fact]
    public async Task Without_their_walls_the_same_names_lead_there()
    {
        Requirements.Root();
        Requirements.Walls();
        await using var internet = await Internet.StartAsync();
        using var code = new CodeFolder();
        await using var worker = await StartAsync(internet, code, "egress-special,egress-host");
        var function = new Bench(worker).Function("egress.reach", Languages.Python) with { Network = NetworkAccess.Egress };

        var answers = await ReachAsync(worker, function, Closed);

        foreach (var (host, answer) in answers.Where(static pair => pair.Key != "loopback.test"))
        {
            answer.ShouldStartWith(host is "45.10.0.2" or "host.test" ? "host" : "tcp", customMessage: host);
        }
    }

    private static Task<TestWorker> StartAsync(Internet internet, CodeFolder code, string? removedWalls) => TestWorker.StartAsync(
        code, 900, removedWalls, CancellationToken.None,
        new EgressOptions { Resolvers = [Internet.Resolver] },
        options => internet.Place(options, removedWalls is null ? Requirements.InTree("native/build/flint-launcher") : Requirements.WallsLauncher));

    private static async Task<Dictionary<string, string>> ReachAsync(TestWorker worker, Flint.Runtime.Invocation.FunctionSpec function, string[] hosts)
    {
        var outcome = await worker.InvokeAsync(function with { TimeoutMs = 60_000 }, JsonSerializer.Serialize(new { hosts }));
        outcome.ShouldHaveCompleted();
        return outcome.Json().GetProperty("answers").Deserialize<Dictionary<string, string>>()!;
    }
}

using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>Group 16: a secret of one function, or of the server, is nowhere in what another can read: not in its memory, not in its files.</summary>
public sealed class SecretTests(Workers workers)
{
    public static IEnumerable<TheoryDataRow<Languages, Mode>> Rows => Modes.Rows();

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task An_earlier_functions_secret_is_nowhere_in_a_later_guest(Languages language, Mode mode)
    {
        var bench = await workers.ProductAsync();
        var secret = $"secret-{Guid.NewGuid():N}";
        var warm = Holder(bench, language, secret).In(mode) with { Freshness = Freshness.Warm };
        FunctionSpec[] holders = [Holder(bench, language, secret).In(mode), warm];
        foreach (var holder in holders)
        {
            var held = await bench.Worker.InvokeAsync(holder, JsonSerializer.Serialize(new { secret }));
            held.Worked().ShouldBeTrue(held.Describe());
        }

        foreach (var text in (string[])[secret, ReadAttacks.HostSecret])
        {
            // A fork of a snapshot may not open its own memory, so there the later guest is a forked one of another function.
            var searcher = bench.Function("secrets_of_others.search", language).In(mode == Mode.Snapshot ? Mode.Zygote : mode) with { TimeoutMs = 60_000, MemoryMb = 512 };
            var control = await bench.Worker.InvokeAsync(searcher, Search(text, own: true));
            control.Worked().ShouldBeTrue($"the control: what a guest holds itself is found; {control.Describe()}");

            var outcome = await bench.Worker.InvokeAsync(searcher, Search(text, own: false));

            outcome.ShouldHaveCompleted();
            outcome.Worked().ShouldBeFalse(outcome.Describe());
            bench.Worker.Retire(searcher);
        }

        foreach (var holder in holders)
        {
            bench.Worker.Retire(holder);
        }
        await bench.NothingIsLeftAsync(warm);
    }

    /// <summary>An error shows the function's own frames: no folder of the host's, no frame of the platform's, no variable.</summary>
    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Errors_and_logs_show_nothing_of_the_hosts(Languages language, Mode mode)
    {
        var bench = await workers.ProductAsync();
        var function = Holder(bench, language, "secret-of-a-function").In(mode) with { Handler = "log_injection.fail" };

        var outcome = await bench.Worker.InvokeAsync(function, "{}");

        outcome.ShouldHaveFailed(FaultType.Unhandled);
        outcome.Error!.StackTrace.ShouldNotBeEmpty(outcome.Describe());
        var shown = string.Join('\n', [outcome.Error.Message, .. outcome.Error.StackTrace, .. outcome.Log.Lines.Select(static line => line.Text)]);
        shown.ShouldContain("deliberate");
        foreach (var secret in (string[])["secret-of-a-function", ReadAttacks.HostSecret, workers.Code.Path, AppContext.BaseDirectory, Environment.MachineName, "/var/runtime/"])
        {
            shown.ShouldNotContain(secret);
        }

        await bench.NothingIsLeftAsync(function);
    }

    private static FunctionSpec Holder(Bench bench, Languages language, string secret) => bench.Function("secrets_of_others.hold", language) with
    {
        Environment = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal).Add("SECRET", secret),
    };

    private static string Search(string text, bool own)
    {
        var masked = Convert.ToHexString([.. Encoding.ASCII.GetBytes(text).Select(static value => (byte)(value + 0x35))]);
        return JsonSerializer.Serialize(new { masked, own, folders = (string[])["/proc", "/tmp", "/dev", "/etc", "/run", "/var", "/sys"] });
    }
}

using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>
/// Groups 6, 7 and 10 without a list of places: everything that a walk from the root reaches (but the packages under /usr) is read, and opened for writing. Nothing
/// read holds a text of the host's or of another function's; what opens is exactly what <c>profiles/writable-MODE.txt</c> lists.
/// </summary>
public sealed class WalkTests(Workers workers)
{
    public static IEnumerable<TheoryDataRow<Mode>> Rows => Modes.Built.Select(static mode => new TheoryDataRow<Mode>(mode));

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Nothing_of_the_hosts_stands_in_anything_readable(Mode mode)
    {
        var bench = await workers.ProductAsync();
        var secret = $"other-{Guid.NewGuid():N}";
        var other = bench.Function("secrets_of_others.hold", Languages.Python).In(mode) with
        {
            Freshness = Freshness.Warm,
            Environment = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal).Add("SECRET", secret),
        };
        (await bench.Worker.InvokeAsync(other, JsonSerializer.Serialize(new { secret }))).Worked().ShouldBeTrue();
        var function = bench.Function("walk.read_all", Languages.Python).In(mode) with { TimeoutMs = 60_000 };
        Dictionary<string, string> texts = new()
        {
            ["environment of the server"] = ReadAttacks.HostSecret,
            ["environment of another function"] = secret,
            ["tenant of another function"] = $"/{other.TenantId}/",
            ["host's name"] = Environment.MachineName.Length > 4 ? Environment.MachineName : ReadAttacks.HostSecret,
            ["home of the server's program"] = AppContext.BaseDirectory,
        };

        var control = await bench.Worker.InvokeAsync(function, Masked(texts, own: true));
        control.Worked().ShouldBeTrue($"the control: what was planted is found; {control.Describe()}");
        control.Json().GetProperty("readable").GetInt32().ShouldBeGreaterThan(100, control.Describe());
        var outcome = await bench.Worker.InvokeAsync(function, Masked(texts, own: false));

        outcome.ShouldHaveRunIn(mode);
        outcome.ShouldHaveCompleted();
        outcome.Worked().ShouldBeFalse(outcome.Describe());
        bench.Worker.Retire(other);
        await bench.NothingIsLeftAsync(function);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task What_opens_for_writing_is_what_is_listed(Mode mode)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("walk.open_all", Languages.Python).In(mode) with { TimeoutMs = 60_000 };

        var outcome = await bench.Worker.InvokeAsync(function, "{}");

        outcome.ShouldHaveRunIn(mode);
        outcome.ShouldHaveCompleted();
        var text = new StringBuilder($"# {mode}: all that a guest can open for writing, outside of /tmp and what is its own.\n");
        foreach (var path in outcome.Json().GetProperty("files").EnumerateArray().Concat(outcome.Json().GetProperty("folders").EnumerateArray()))
        {
            text.Append(path.GetString()).Append('\n');
        }

        var list = Requirements.InTree($"tests/Flint.Security.Tests/profiles/writable-{mode.ToString().ToLowerInvariant()}.txt");
        if (Environment.GetEnvironmentVariable("FLINT_UPDATE_DOCS") is { Length: > 0 })
        {
            await File.WriteAllTextAsync(list, text.ToString());
        }

        text.ToString().ShouldBe(await File.ReadAllTextAsync(list), list);
        await bench.NothingIsLeftAsync(function);
    }

    private static string Masked(Dictionary<string, string> texts, bool own) => JsonSerializer.Serialize(new
    {
        own,
        masked = texts.ToDictionary(static text => text.Key, static text => Convert.ToHexString([.. Encoding.UTF8.GetBytes(text.Value).Select(static value => (byte)(value + 0x35))])),
    });
}

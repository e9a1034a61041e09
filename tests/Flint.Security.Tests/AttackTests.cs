using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>Every program of the catalogue: its control works, the attack is held, and without its wall the attack works.</summary>
public sealed class AttackTests(Workers workers)
{
    [Theory]
    [MemberData(nameof(AttackCatalog.Rows), MemberType = typeof(AttackCatalog))]
    public async Task The_control_works(string name, string language, Mode mode)
    {
        var bench = await workers.ProductAsync();
        var attack = AttackCatalog.Find(name);
        var function = bench.Function(attack, Enum.Parse<Languages>(language)).In(mode) with { TimeoutMs = Math.Max(attack.TimeoutMs, 10_000) };

        var outcome = await bench.Worker.InvokeAsync(function, attack.Control);

        outcome.ShouldHaveRunIn(mode);
        outcome.ShouldHaveCompleted();
        // Programs that answer the same whatever they met have said all by completing.
        (outcome.Worked() || outcome.Json().TryGetProperty("marker", out _)).ShouldBeTrue(outcome.Describe());
        bench.Worker.Retire(function);
    }

    [Theory]
    [MemberData(nameof(AttackCatalog.Rows), MemberType = typeof(AttackCatalog))]
    public async Task The_attack_is_held(string name, string language, Mode mode)
    {
        var bench = await workers.ProductAsync();
        var attack = AttackCatalog.Find(name);
        var function = Hostile(bench, attack, language).In(mode);

        var outcome = await bench.Worker.InvokeAsync(function, attack.Hostile);

        TestContext.Current.TestOutputHelper?.WriteLine(outcome.Describe());
        outcome.ShouldHaveRunIn(mode);
        switch (attack.Held)
        {
            case Held.Refused:
                outcome.ShouldHaveCompleted();
                outcome.Worked().ShouldBeFalse(outcome.Describe());
                break;
            case Held.Contained:
                outcome.ShouldHaveCompleted();
                outcome.Worked().ShouldBeTrue(outcome.Describe());
                break;
            default:
                outcome.ShouldHaveFailed(attack.Faults);
                break;
        }

        await bench.NothingIsLeftAsync(function);
    }

    [Theory]
    [MemberData(nameof(AttackCatalog.RowsWithWall), MemberType = typeof(AttackCatalog))]
    public async Task Without_its_wall_the_attack_works(string name, string language, Mode mode)
    {
        var attack = AttackCatalog.Find(name);
        var bench = attack.Wall is { } wall ? await workers.WithoutAsync(wall) : await workers.ProductAsync();
        var function = Hostile(bench, attack, language).In(mode);

        var outcome = await bench.Worker.InvokeAsync(attack.Loosen?.Invoke(function) ?? function, attack.Hostile);

        outcome.ShouldHaveRunIn(mode);
        outcome.ShouldHaveCompleted();
        outcome.Worked().ShouldBeTrue(outcome.Describe());
    }

    [Fact]
    public void Every_attack_has_a_wall_to_remove_or_says_why_not() =>
        AttackCatalog.All.Where(static attack => attack.HasWall == attack.Structural is not null).Select(static attack => attack.Name).ShouldBeEmpty();

    [Fact]
    public void Names_are_unique() => AttackCatalog.All.Select(static attack => attack.Name).ShouldBeUnique();

    private static FunctionSpec Hostile(Bench bench, Attack attack, string language)
    {
        var function = bench.Function(attack, Enum.Parse<Languages>(language));
        return attack.HostileEnvironment is { } variable
            ? function with { Environment = function.Environment.Add(variable.Name, variable.Value) }
            : function;
    }
}

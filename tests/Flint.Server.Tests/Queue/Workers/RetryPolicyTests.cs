using Flint.Runtime.Invocation;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class RetryPolicyTests
{
    private static readonly RetryRules Twice = new() { Retries = 2, MaxAgeMs = 3_600_000, DelayMs = 1000, MaxDelayMs = 300_000, Jitter = false };

    public static TheoryData<FaultType> All => [.. Enum.GetValues<FaultType>()];

    /// <summary>The one table of what each fault means here; a new member makes the test fail until it has a place.</summary>
    [Theory]
    [MemberData(nameof(All))]
    public void Each_fault_is_retried_put_off_or_final(FaultType fault)
    {
        var expected = fault switch
        {
            FaultType.Unhandled or FaultType.TimedOut or FaultType.OutOfMemory or FaultType.ExitedEarly or FaultType.ResponseTooLarge or FaultType.InvalidResponse
                or FaultType.ImportError or FaultType.HandlerNotFound or FaultType.SyntaxError or FaultType.SnapshotUnsafe or FaultType.ProtocolViolation or FaultType.DeliveryFailed => (true, true),
            FaultType.SandboxLost => (true, true),
            FaultType.EngineUnavailable or FaultType.Throttled => (true, false),
            FaultType.InvalidPayload or FaultType.Cancelled or FaultType.Expired or FaultType.FunctionNotFound or FaultType.LoopDetected
                or FaultType.DestinationRefused => (false, true),
            _ => throw new ArgumentOutOfRangeException(nameof(fault), fault, "A new fault needs a decision."),
        };
        var verdict = Decide(Twice, fault);
        (verdict.Again, verdict.Counts).ShouldBe(expected);
    }

    [Fact]
    public void Errors_of_the_function_are_tried_again_as_often_as_asked()
    {
        Decide(Twice, FaultType.Unhandled, attempt: 1).Again.ShouldBeTrue();
        Decide(Twice, FaultType.Unhandled, attempt: 2).Again.ShouldBeTrue();
        Decide(Twice, FaultType.Unhandled, attempt: 3).Again.ShouldBeFalse();
        Decide(Twice with { Retries = 0 }, FaultType.Unhandled).Again.ShouldBeFalse();
    }

    [Fact]
    public void A_lost_sandbox_is_tried_again_without_retries_too_but_not_a_third_time()
    {
        var none = Twice with { Retries = 0 };
        Decide(none, FaultType.SandboxLost, attempt: 1, losses: 0).Again.ShouldBeTrue();
        Decide(none, FaultType.SandboxLost, attempt: 2, losses: 1).Again.ShouldBeTrue();
        Decide(none, FaultType.SandboxLost, attempt: 3, losses: 2).Again.ShouldBeFalse();
        Decide(Twice with { Retries = 100 }, FaultType.SandboxLost, attempt: 3, losses: 2).Again.ShouldBeFalse();
        // And it was an attempt.
        Decide(none, FaultType.Unhandled, attempt: 2, losses: 1).Again.ShouldBeFalse();
    }

    [Fact]
    public void What_was_put_off_is_tried_until_it_is_too_old_however_few_retries_it_has()
    {
        var none = Twice with { Retries = 0 };
        Decide(none, FaultType.Throttled, refusals: 500, age: TimeSpan.FromMinutes(54)).Again.ShouldBeTrue();
        Decide(none, FaultType.Throttled, refusals: 500, age: TimeSpan.FromMinutes(59)).Again.ShouldBeFalse();
    }

    [Theory]
    [InlineData(FaultType.Unhandled)]
    [InlineData(FaultType.SandboxLost)]
    [InlineData(FaultType.EngineUnavailable)]
    public void Nothing_is_tried_again_beyond_the_age_limit(FaultType fault)
    {
        Decide(Twice, fault, age: TimeSpan.FromMinutes(60)).Again.ShouldBeFalse();
        // Neither when the wait would reach beyond it.
        Decide(Twice, fault, age: TimeSpan.FromMinutes(60) - TimeSpan.FromMilliseconds(500)).Again.ShouldBeFalse();
        Decide(Twice, fault, age: TimeSpan.FromMinutes(60) - TimeSpan.FromMilliseconds(1001)).Again.ShouldBeTrue();
    }

    [Theory]
    [InlineData(1, 1000)]
    [InlineData(2, 2000)]
    [InlineData(5, 16_000)]
    [InlineData(100, 300_000)]
    public void Exponential_backoff_doubles_up_to_its_cap(int attempt, int expected) => Backoff(Twice, attempt).ShouldBe(expected);

    [Theory]
    [InlineData(1)]
    [InlineData(9)]
    public void Fixed_backoff_stays(int attempt) => Backoff(Twice with { Backoff = "fixed" }, attempt).ShouldBe(1000);

    [Fact]
    public void A_fixed_delay_obeys_the_cap_too() => Backoff(Twice with { Backoff = "fixed", MaxDelayMs = 300 }, 1).ShouldBe(300);

    [Fact]
    public void Full_jitter_draws_from_nothing_to_the_rule()
    {
        var rules = Twice with { Jitter = true };
        RetryPolicy.Backoff(rules, 3, new Drawn(0)).ShouldBe(TimeSpan.Zero);
        RetryPolicy.Backoff(rules, 3, new Drawn(0.5)).ShouldBe(TimeSpan.FromMilliseconds(2000));
        RetryPolicy.Backoff(rules, 3, new Drawn(0.999)).ShouldBe(TimeSpan.FromMilliseconds(3996));
    }

    [Fact]
    public void What_is_put_off_waits_longer_each_time_and_never_less_than_half_of_the_rule()
    {
        Refused(0, 0).ShouldBe(500);
        Refused(0, 0.999).ShouldBe(999.5);
        Refused(3, 0).ShouldBe(4000);
        Refused(1000, 0).ShouldBe(150_000);

        static double Refused(int refusals, double draw) => RetryPolicy.Decide(
            new FailedAttempt(Twice with { DelayMs = 0 }, FaultType.Throttled, 1, 0, refusals, TimeSpan.Zero), new Drawn(draw)).Delay.TotalMilliseconds;
    }

    private static double Backoff(RetryRules rules, int attempt) => RetryPolicy.Backoff(rules, attempt, new Drawn(0.5)).TotalMilliseconds;

    private static RetryVerdict Decide(RetryRules rules, FaultType fault, int attempt = 1, int losses = 0, int refusals = 0, TimeSpan age = default) =>
        RetryPolicy.Decide(new FailedAttempt(rules, fault, attempt, losses, refusals, age), new Drawn(0.999));

    private sealed class Drawn(double number) : Random
    {
        public override double NextDouble() => number;
    }
}

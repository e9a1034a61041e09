using System.Text;
using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Security.Tests.Harness;

/// <summary>What tests ask of an outcome; a failure shows all that is known of it.</summary>
internal static class Outcomes
{
    public static JsonElement Json(this InvocationOutcome outcome) => JsonDocument.Parse(outcome.Result).RootElement;

    public static bool Worked(this InvocationOutcome outcome) => outcome.Json().GetProperty("worked").GetBoolean();

    /// <summary>It was started as it was to be, so that no attack ran in another mode than the one that it is counted for.</summary>
    public static void ShouldHaveRunIn(this InvocationOutcome outcome, Mode mode) =>
        outcome.Start.ShouldBe(mode == Mode.Exec ? StartMode.Exec : StartMode.Zygote, $"{outcome.StartReason}\n{outcome.Describe()}");

    public static void ShouldHaveCompleted(this InvocationOutcome outcome) =>
        outcome.Status.ShouldBe(InvocationStatus.Completed, outcome.Describe());

    public static void ShouldHaveFailed(this InvocationOutcome outcome, params IEnumerable<FaultType> faults)
    {
        outcome.Status.ShouldBe(InvocationStatus.Failed, outcome.Describe());
        faults.ShouldContain(outcome.Error!.Type, outcome.Describe());
    }

    public static string Describe(this InvocationOutcome outcome)
    {
        var result = Encoding.UTF8.GetString(outcome.Result.Span);
        var lines = outcome.Log.Lines.Select(static line => $"  {line.Stream}: {Cut(line.Text, 300)}").Take(40);
        return $"{outcome.Status} {outcome.Error?.Type} {outcome.Error?.Name}: {Cut(outcome.Error?.Message ?? "", 500)}\nresult {Cut(result, 2000)}\n{string.Join('\n', lines)}";
    }

    private static string Cut(string text, int length) => text.Length <= length ? text : text[..length] + "...";
}

/// <summary>Waits, bounded, for a condition that another process makes true.</summary>
internal static class Eventually
{
    public static async Task True(Func<bool> condition, string what, int boundSeconds, Func<string> found)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            if (TimeProvider.System.GetElapsedTime(started) > TimeSpan.FromSeconds(boundSeconds))
            {
                Assert.Fail($"not within {boundSeconds} s: {what}; found: {found()}");
            }

            await Task.Delay(2);
        }
    }
}

using System.Globalization;

namespace Flint.Runtime.Invocation;

/// <summary>The lines that the platform writes into an invocation's log, in Lambda's words. No text of the guest enters them.</summary>
internal static class PlatformLines
{
    public static string Start(string id, string version) => $"START RequestId: {id} Version: {version}";

    public static string End(string id) => $"END RequestId: {id}";

    public static string TimedOut(TimeSpan timeout) =>
        string.Create(CultureInfo.InvariantCulture, $"Task timed out after {timeout.TotalSeconds:F2} seconds");

    public static string InitTimedOut(TimeSpan limit) =>
        string.Create(CultureInfo.InvariantCulture, $"Init timed out after {limit.TotalSeconds:F2} seconds");

    /// <summary>Written when the init phase failed; a good one shows in the report only.</summary>
    public static string InitReport(TimeSpan init, FaultType error) =>
        string.Create(CultureInfo.InvariantCulture, $"INIT_REPORT Init Duration: {init.TotalMilliseconds:F2} ms\tPhase: init\t{Status(error)}");

    public static string Report(InvocationRun run, FaultType? error)
    {
        // Lambda always names a peak; where the host cannot tell, the field is left out rather than invented.
        var peak = run.PeakMemoryBytes is { } bytes
            ? string.Create(CultureInfo.InvariantCulture, $"\tMax Memory Used: {(bytes + (1 << 20) - 1) >> 20} MB") : "";
        var init = run.InitDuration is { } span
            ? string.Create(CultureInfo.InvariantCulture, $"\tInit Duration: {span.TotalMilliseconds:F2} ms") : "";
        var status = error is { } type ? "\t" + Status(type) : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"REPORT RequestId: {run.Request.Id}\tDuration: {run.Ran.TotalMilliseconds:F2} ms\tBilled Duration: {InvocationOutcome.Billed(run.Ran)} ms\tMemory Size: {run.Function.MemoryMb} MB{peak}{init}{status}\t");
    }

    private static string Status(FaultType error) => error == FaultType.TimedOut ? "Status: timeout" : $"Status: error\tError Type: {error}";
}

using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Guest;

/// <summary>Says what it means when a guest's process ends before it has answered. Pure.</summary>
public static class GuestExits
{
    private const int Abort = 6;
    /// <summary>V8 aborts at its heap limit; where a shell stands between, its exit code says so.</summary>
    private const int AbortedInShell = 128 + Abort;

    /// <summary>The error to record, in Lambda's words.</summary>
    /// <param name="exit">How the process ended.</param>
    /// <param name="log">What the invocation logged; V8 says there when its heap is full.</param>
    /// <param name="requestId">The invocation's id; empty during init.</param>
    public static InvocationError Classify(SandboxExit exit, CapturedLog log, string requestId)
    {
        if (exit.OutOfMemory || ((exit.Signal == Abort || exit.ExitCode == AbortedInShell) && SaysHeapIsFull(log)))
        {
            string reason = exit.OutOfMemory ? "signal: killed" : "signal: aborted, JavaScript heap out of memory";
            return new(FaultType.OutOfMemory, "Runtime.OutOfMemory", Message(requestId, $"Runtime exited with error: {reason}"), []);
        }
        if (exit.KilledByPlatform || exit is { Signal: null, ExitCode: null })
        {
            return new(FaultType.SandboxLost, nameof(FaultType.SandboxLost), "The sandbox was lost: " + exit, []);
        }
        string how = exit switch
        {
            { Signal: int signal } => $"Runtime exited with error: signal: {SignalName(signal)}",
            { ExitCode: 0 } => "Runtime exited without providing a reason",
            _ => $"Runtime exited with error: exit status {exit.ExitCode}",
        };
        return new(FaultType.ExitedEarly, "Runtime.ExitError", Message(requestId, how), []);
    }

    private static string Message(string requestId, string how) => $"RequestId: {requestId} Error: {how}";

    private static bool SaysHeapIsFull(CapturedLog log)
    {
        for (int i = log.Lines.Count - 1; i >= 0; i--)
        {
            LogLine line = log.Lines[i];
            if (line.Stream == LogStream.Stderr && line.Text.Contains("JavaScript heap out of memory", StringComparison.Ordinal))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>As Lambda's own messages name them.</summary>
    private static string SignalName(int signal) => signal switch
    {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        Abort => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        24 => "CPU time limit exceeded",
        25 => "file size limit exceeded",
        31 => "bad system call",
        _ => $"signal {signal}",
    };
}

using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Guest.Tests;

public sealed class GuestExitsTests
{
    private const string HeapIsFull = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory";

    [Theory]
    [InlineData(0, null, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited without providing a reason")]
    [InlineData(1, null, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited with error: exit status 1")]
    [InlineData(137, null, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited with error: exit status 137")]
    [InlineData(null, 9, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited with error: signal: killed")]
    [InlineData(null, 11, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited with error: signal: segmentation fault")]
    [InlineData(null, 64, false, FaultType.ExitedEarly, "RequestId: r Error: Runtime exited with error: signal: signal 64")]
    [InlineData(null, 9, true, FaultType.OutOfMemory, "RequestId: r Error: Runtime exited with error: signal: killed")]
    [InlineData(0, null, true, FaultType.OutOfMemory, "RequestId: r Error: Runtime exited with error: signal: killed")]
    public void An_exit_is_told_in_lambdas_words(int? code, int? signal, bool outOfMemory, FaultType type, string message)
    {
        InvocationError error = GuestExits.Classify(new SandboxExit(code, signal, outOfMemory, KilledByPlatform: false), CapturedLog.Empty, "r");
        (error.Type, error.Message).ShouldBe((type, message));
    }

    [Theory]
    [InlineData(null, 6, LogStream.Stderr, FaultType.OutOfMemory)]
    [InlineData(134, null, LogStream.Stderr, FaultType.OutOfMemory)]
    [InlineData(null, 6, LogStream.Stdout, FaultType.ExitedEarly)]
    [InlineData(1, null, LogStream.Stderr, FaultType.ExitedEarly)]
    [InlineData(null, 11, LogStream.Stderr, FaultType.ExitedEarly)]
    public void V8_says_on_stderr_that_its_heap_is_full_and_aborts(int? code, int? signal, LogStream stream, FaultType type)
    {
        CapturedLog log = new([new LogLine(default, stream, HeapIsFull), new LogLine(default, LogStream.Stderr, " 1: 0xb9 node::Abort()")], 0, 0);
        GuestExits.Classify(new SandboxExit(code, signal, OutOfMemory: false, KilledByPlatform: false), log, "r").Type.ShouldBe(type);
    }

    [Fact]
    public void An_abort_without_the_words_is_an_early_exit() =>
        GuestExits.Classify(new SandboxExit(null, 6, false, false), CapturedLog.Empty, "r").Type.ShouldBe(FaultType.ExitedEarly);

    [Theory]
    [InlineData(null, 9, true)]
    [InlineData(null, null, false)]
    public void What_the_platform_did_or_lost_is_not_the_functions_fault(int? code, int? signal, bool killed) =>
        GuestExits.Classify(new SandboxExit(code, signal, false, killed), CapturedLog.Empty, "r").Type.ShouldBe(FaultType.SandboxLost);
}

using Flint.Runtime.Guest;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>Whatever way a function takes out of its process, a fork ends as a started guest does.</summary>
public sealed class ForkExitTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    public static TheoryData<string, string> Ways { get; } = new()
    {
        { "nodejs20", "process.exit(3);" },
        { "nodejs20", "process.exit();" },
        { "nodejs20", "process.exitCode = 4; process.exit();" },
        { "nodejs20", "process.reallyExit(5);" },
        { "nodejs20", "process.on('exit', () => process.exit(6)); process.exit(1);" },
        { "nodejs20", "process.on('exit', () => { process.exitCode = 7; }); process.exit();" },
        { "nodejs20", "process.on('exit', () => { throw new Error('in exit'); }); process.exit(1);" },
        { "nodejs20", "process.removeAllListeners(); await new Promise(() => {});" },
        { "nodejs20", "process.removeAllListeners(); process.exitCode = 8; await new Promise(() => {});" },
        { "nodejs20", "process.removeAllListeners(); setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {});" },
        { "nodejs20", "process.removeAllListeners(); Promise.reject(new Error('nobody')); await new Promise(() => {});" },
        { "nodejs20", "process.removeAllListeners('beforeExit'); await require('fs').promises.stat('/'); await new Promise(() => {});" },
        { "nodejs20", "setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {});" },
        { "nodejs20", "Promise.reject(new Error('nobody')); await new Promise(() => {});" },
        { "nodejs20", "await new Promise(() => {});" },
        { "nodejs20", "process.abort();" },
        { "nodejs20", "process.kill(process.pid, 'SIGTERM'); await new Promise((r) => setTimeout(r, 10000));" },
        { "nodejs20", "process.on('SIGTERM', () => process.exit(9)); process.kill(process.pid, 'SIGTERM'); await new Promise((r) => setTimeout(r, 10000));" },
        { "nodejs20", "process.kill(process.pid, 'SIGKILL'); await new Promise((r) => setTimeout(r, 10000));" },
        { "nodejs20", "process.stdout.write('unfinished'); process.exit(10);" },
        { "nodejs20", "const w = new (require('worker_threads').Worker)('setInterval(() => {}, 1000)', { eval: true }); w.on('online', () => process.exit(11)); await new Promise(() => {});" },
        { "nodejs20", "const w = new (require('worker_threads').Worker)('process.exit(12)', { eval: true }); return await new Promise((r) => w.on('exit', r));" },
        { "nodejs20", "const w = new (require('worker_threads').Worker)('throw new Error(1)', { eval: true }); await new Promise(() => {});" },
        { "nodejs20", "process.removeAllListeners(); await require('fs').promises.readFile('/etc/hostname'); new (require('worker_threads').Worker)('1', { eval: true }); await new Promise(() => {});" },
        { "python3.11", "raise SystemExit(3)" },
        { "python3.11", "sys.exit('a reason')" },
        { "python3.11", "os._exit(4)" },
        { "python3.11", "os.abort()" },
        { "python3.11", "atexit.register(os._exit, 5); sys.exit(1)" },
        { "python3.11", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)" },
        { "python3.11", "signal.signal(signal.SIGTERM, lambda *a: sys.exit(6)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)" },
        { "python3.11", "threading.Thread(target=os._exit, args=(7,)).start(); time.sleep(10)" },
        { "python3.11", "threading.Thread(target=lambda: print('last')).start(); sys.exit(8)" },
        { "python3.11", "concurrent.futures.ThreadPoolExecutor(2).submit(print, 'pool').result(); sys.exit(9)" },
        { "python3.11", "ctypes.string_at(0)" },
        { "python3.11", "print('unfinished', end=''); sys.exit(10)" },
    };

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task A_fork_ends_as_a_started_guest_does(string runtime, string statement)
    {
        string code = runtime.StartsWith("python", StringComparison.Ordinal)
            ? "import atexit, concurrent.futures, ctypes, os, signal, sys, threading, time\ndef handler(event, context):\n    " + statement
            : "exports.handler = async () => { " + statement + " };";
        using TestFunction function = new(runtime, code);
        TestAnswer forked = await function.InvokeAsync(zygotes.Of(runtime));
        TestAnswer started = await function.InvokeAsync(ProcessGuests.Start(function.Spec()));
        (Way(forked), forked.Result, forked.Error?.Name).ShouldBe((Way(started), started.Result, started.Error?.Name), Text(forked.Log) + "\n--\n" + Text(started.Log));
        (forked.Exit ?? (object?)forked.Result ?? forked.Error).ShouldNotBeNull();
    }

    private static (int?, int?) Way(TestAnswer answer) => (answer.Exit?.ExitCode, answer.Exit?.Signal);

    private static string Text(CapturedLog log) => string.Join('\n', log.Lines.Select(line => line.Text));
}

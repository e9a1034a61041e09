using System.Runtime.InteropServices;
using Flint.Bench;
using Flint.Bench.Machine;
using Flint.Bench.Measurements;
using Flint.Bench.Reporting;

// Exit status: 0 printed, 1 something failed or gave a wrong answer, 2 wrong arguments, 130 interrupted.
using CancellationTokenSource interrupted = new();
void Interrupt(PosixSignalContext context)
{
    context.Cancel = true;
    interrupted.Cancel();
}
using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
Report? report = null;
try
{
    BenchOptions options = BenchOptions.Parse(args);
    report = new Report(options, await MachineFacts.ReadAsync(options, interrupted.Token));
    await Groups.RunAsync(options, report, interrupted.Token);
    await Console.Out.WriteLineAsync(report.Render());
    await report.WriteAsync(interrupted.Token);
    return report.HasFailures ? 1 : 0;
}
catch (BenchException exception)
{
    await Console.Error.WriteLineAsync($"bench: {exception.Message}");
    return 2;
}
catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
{
    await Console.Out.WriteLineAsync($"Interrupted; measured until then:\n{report?.Render()}");
    return 130;
}

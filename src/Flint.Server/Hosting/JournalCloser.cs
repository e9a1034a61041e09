using Flint.Data.Invocations;

namespace Flint.Server.Hosting;

/// <summary>Writes what history still buffers, once everything that records has stopped and while the database is certainly open.</summary>
internal sealed class JournalCloser(InvocationJournal journal) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => journal.DisposeAsync().AsTask();
}

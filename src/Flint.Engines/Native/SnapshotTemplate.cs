using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// The forks of one sandbox's initialised process. The launcher's RENEW ends a fork and makes the next in one step, so that destroying fork n completes when fork n+1 has
/// come: it waits, with nothing of its event, until <see cref="ForkAsync"/> hands it out. Events come from the session's thread.
/// </summary>
internal sealed class SnapshotTemplate(NativeSandbox sandbox, LauncherSession session, Cell cell, GuestPollers pollers, TimeProvider time) : ISandboxTemplate
{
    private static readonly TimeSpan RenewLimit = TimeSpan.FromSeconds(30);
    private readonly Lock _lock = new();

    // All under the lock. The fork that has been asked for and is not handed out yet; faulted for good once there can be none.
    private TaskCompletionSource<NativeFork>? _next;
    private NativeFork? _live;
    private NativeFork? _ending;
    private string? _failure;
    private bool _gone;

    /// <summary>A fork that nobody waits for any more is handed out by the next call.</summary>
    public async Task<ISandbox> ForkAsync(CancellationToken cancellationToken)
    {
        TaskCompletionSource<NativeFork> next;
        lock (_lock)
        {
            if (_live is not null)
            {
                throw new InvalidOperationException("A template has one fork at a time; the one before must be destroyed first.");
            }

            if (_next is null)
            {
                AskLocked();
                session.Snapshot(cell);
            }

            next = _next!;
        }

        var fork = await next.Task.WaitAsync(cancellationToken);
        lock (_lock)
        {
            if (_next == next && !_gone)
            {
                _next = null;
                _live = fork;
                return fork;
            }
        }

        throw Lost();
    }

    /// <summary>
    /// A fork's destruction: completes when all of it is dead and its successor waits, or when the whole sandbox is gone. Called again after it failed, it asks for nothing more.
    /// </summary>
    public async Task RenewAsync(NativeFork fork)
    {
        Task next;
        bool again;
        lock (_lock)
        {
            again = _ending == fork;
            if (!again)
            {
                (_live, _ending) = (null, fork);
                AskLocked();
            }

            // Handed out already: the launcher makes a successor only of what it has proven dead.
            next = _next?.Task ?? Task.CompletedTask;
        }

        if (!again)
        {
            // A frozen cell could do nothing about it; one that is being destroyed does not need to.
            sandbox.TryThaw();
            session.Renew(cell);
        }

        try
        {
            await next.WaitAsync(RenewLimit, time);
        }
        catch (TimeoutException exception)
        {
            throw new EngineException($"The fork {fork.Id} was killed but the host still shows it after {RenewLimit.TotalSeconds} s.", exception);
        }
        catch (Exception exception) when (exception is EngineException or SnapshotUnsafeException)
        {
            // No successor can be made. The fork is gone when its sandbox is, which the launcher is removing.
            await cell.Gone.WaitAsync(RenewLimit, time);
        }
    }

    /// <summary>Takes the descriptors out of the list when the fork is wanted.</summary>
    public void OnForked(uint number, List<int> descriptors)
    {
        if (descriptors.Count != 3)
        {
            throw new InvalidDataException($"The launcher sent {descriptors.Count} descriptors with FORKED instead of 3.");
        }

        lock (_lock)
        {
            if (_next is null || _gone)
            {
                return;
            }

            if (Take(descriptors) is not { } streams)
            {
                return;
            }

            var fork = new NativeFork(sandbox, this, number, streams);
            if (!_next.TrySetResult(fork))
            {
                fork.Close();
            }
        }
    }

    public void OnForkExited(uint number, uint code, uint signal, bool outOfMemory)
    {
        lock (_lock)
        {
            if (FindLocked(number) is { } fork)
            {
                fork.OnExited(code, signal, outOfMemory);
            }
        }
    }

    public void OnUnsafe(IReadOnlyList<string> findings) => EndWith(new SnapshotUnsafeException([.. findings.Select(Printable)]));

    public void OnFailed(CellFailure failure)
    {
        lock (_lock)
        {
            _failure = failure.Message;
        }

        EndWith(failure.IsTheTemplates ? new SnapshotUnsafeException([$"it does not do its part as a template ({failure.Message})"]) : Lost());
    }

    /// <summary>The sandbox is gone, and every fork with it.</summary>
    public void OnGone()
    {
        NativeFork? unclaimed;
        lock (_lock)
        {
            _gone = true;
            _live?.OnGone();
            _ending?.OnGone();
            unclaimed = _next?.Task is { IsCompletedSuccessfully: true } ready ? ready.Result : null;
        }

        unclaimed?.OnGone();
        unclaimed?.Close();
        EndWith(Lost());
    }

    // The descriptors have an owner from here on, whatever happens.
    private GuestStreams? Take(List<int> descriptors)
    {
        var (channel, stdout, stderr) = (descriptors[0], descriptors[1], descriptors[2]);
        descriptors.Clear();
        try
        {
            return new GuestStreams(channel, stdout, stderr, pollers);
        }
        catch (IOException exception)
        {
            FaultLocked(new EngineException($"The output of a fork of sandbox {sandbox.Id} could not be watched: {exception.Message}", exception));
            return null;
        }
    }

    private void AskLocked()
    {
        _next = new TaskCompletionSource<NativeFork>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_gone || _failure is not null)
        {
            FaultLocked(Lost());
        }
    }

    private NativeFork? FindLocked(uint number)
    {
        var waiting = _next?.Task is { IsCompletedSuccessfully: true } ready ? ready.Result : null;
        return new[] { _live, _ending, waiting }.FirstOrDefault(fork => fork?.Number == number);
    }

    private void EndWith(Exception exception)
    {
        lock (_lock)
        {
            FaultLocked(exception);
        }
    }

    private void FaultLocked(Exception exception)
    {
        if (_next is not null)
        {
            _next.TrySetException(exception);
            // Nobody may be waiting: an unobserved fault is not an error of its own.
            _ = _next.Task.Exception;
        }
    }

    // Names of threads and files are the guest's own choice.
    private static string Printable(string finding) => string.Concat(finding.Select(static c => char.IsControl(c) ? '\uFFFD' : c));

    private EngineException Lost() => new(_failure is null
        ? $"The template of sandbox {sandbox.Id} has ended."
        : $"The template of sandbox {sandbox.Id} could not be forked: {_failure}");
}

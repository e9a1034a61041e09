using System.Collections.Concurrent;
using Flint.Runtime.Loops;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Sandboxing;

/// <summary>
/// Destroys sandboxes away from the answer path. Every one given to it is tracked until its engine has proved it gone: a failed attempt is
/// retried by the loop, for ever, and counted. Thread-safe.
/// </summary>
public sealed partial class SandboxJanitor(TimeProvider time, ILogger<SandboxJanitor> logger)
    : BackgroundLoop("sandbox-janitor", RetryPeriod, time, logger)
{
    /// <summary>Between two rounds of retries: long enough for a kernel that is slow to empty a cgroup.</summary>
    private static readonly TimeSpan RetryPeriod = TimeSpan.FromSeconds(2);
    /// <summary>An attempt that takes longer counts as failed; it goes on, and later rounds look at it again.</summary>
    private static readonly TimeSpan AttemptLimit = TimeSpan.FromSeconds(30);
    /// <summary>Attempts at a time: a wave of evictions must not take all threads from the running invocations.</summary>
    private const int MaxParallel = 32;

    private readonly SemaphoreSlim _parallel = new(MaxParallel, MaxParallel);
    /// <summary>All that is not yet proved gone.</summary>
    private readonly ConcurrentDictionary<GuardedSandbox, Entry> _entries = new();
    private long _destroyed;
    private long _failedAttempts;

    /// <summary>Sandboxes that are being destroyed or wait for a retry.</summary>
    public int Pending => _entries.Count;

    /// <summary>Those whose last attempt failed: something of them may still be on the host.</summary>
    public int Leftover => _entries.Count(pair => pair.Value.Attempts > 0);

    public long Destroyed => Interlocked.Read(ref _destroyed);
    public long FailedAttempts => Interlocked.Read(ref _failedAttempts);

    protected override bool WaitFirst => true;

    /// <summary>
    /// Begins to destroy the sandbox and returns at once. <paramref name="onGone"/> runs exactly once, when it is proved gone; it must not block or
    /// throw, and runs before this returns when it is gone already. Giving the same sandbox again adds nothing but its callback.
    /// </summary>
    internal void Discard(GuardedSandbox sandbox, Action? onGone = null)
    {
        while (!sandbox.IsGone)
        {
            var entry = _entries.GetOrAdd(sandbox, static _ => new Entry());
            var (added, first) = entry.Add(onGone);
            if (added)
            {
                if (first)
                {
                    entry.Attempt = AttemptAsync(sandbox, entry);
                }
                return;
            }
        }
        onGone?.Invoke();
    }

    /// <summary>Retries what failed before. Attempts that still run are left alone.</summary>
    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var retried = 0;
        foreach (var (sandbox, entry) in _entries)
        {
            if (entry.Attempt is { IsCompleted: true })
            {
                retried++;
                entry.Attempt = AttemptAsync(sandbox, entry);
                await entry.Attempt.WaitAsync(cancellationToken);
            }
        }
        return new LoopRun(retried);
    }

    /// <summary>Waits until nothing is pending or the token fires; returns how many are left.</summary>
    internal async Task<int> DrainAsync(CancellationToken cancellationToken)
    {
        while (!_entries.IsEmpty && !cancellationToken.IsCancellationRequested)
        {
            var attempts = _entries.Values.Select(entry => entry.Attempt ?? Task.CompletedTask).ToArray();
            await Task.WhenAll(attempts).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_entries.Values.Any(entry => entry.Attempts == 0))
            {
                // Came in meanwhile: nothing to wait for but its own attempt.
                await Task.Yield();
            }
            else if (!_entries.IsEmpty)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!cancellationToken.IsCancellationRequested)
                {
                    await ((Task)RunOnceAsync(cancellationToken)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }
        return _entries.Count;
    }

    /// <summary>Never faults: a failure is counted, logged, and left to the loop.</summary>
    private async Task AttemptAsync(GuardedSandbox sandbox, Entry entry)
    {
        await _parallel.WaitAsync(CancellationToken.None);
        try
        {
            await sandbox.DestroyAsync().WaitAsync(AttemptLimit, Time, CancellationToken.None);
        }
        catch (Exception exception)
        {
            // Whatever the engine threw, the sandbox is not proved gone, and the next round tries again.
            entry.Attempts++;
            Interlocked.Increment(ref _failedAttempts);
            LogDestroyFailed(logger, exception, sandbox.Id, entry.Attempts);
            return;
        }
        finally
        {
            _parallel.Release();
        }
        // In this order, so that nothing pending means that all callbacks have run.
        if (entry.Complete())
        {
            Interlocked.Increment(ref _destroyed);
        }
        _entries.TryRemove(sandbox, out _);
    }

    [LoggerMessage(1101, LogLevel.Warning, "Sandbox {SandboxId} could not be destroyed (attempt {Attempt}); it will be tried again")]
    private static partial void LogDestroyFailed(ILogger logger, Exception exception, string sandboxId, int attempt);

    private sealed class Entry
    {
        private readonly Lock _lock = new();
        private Action? _onGone;
        private bool _begun;
        private bool _gone;

        /// <summary>Written by who begins an attempt: the first by <see cref="Discard"/>, the others by the loop.</summary>
        public volatile Task? Attempt;

        /// <summary>Failed attempts; written by the running attempt only.</summary>
        public volatile int Attempts;

        public (bool Added, bool First) Add(Action? onGone)
        {
            lock (_lock)
            {
                if (_gone)
                {
                    return (false, false);
                }
                _onGone += onGone;
                var first = !_begun;
                _begun = true;
                return (true, first);
            }
        }

        /// <summary>
        /// False when it has been completed before: a round of retries may have read the entry just before it was removed, and so destroys once more
        /// what is gone.
        /// </summary>
        public bool Complete()
        {
            Action? onGone;
            lock (_lock)
            {
                if (_gone)
                {
                    return false;
                }
                _gone = true;
                onGone = _onGone;
            }
            onGone?.Invoke();
            return true;
        }
    }
}

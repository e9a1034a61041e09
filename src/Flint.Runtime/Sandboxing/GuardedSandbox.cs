namespace Flint.Runtime.Sandboxing;

/// <summary>
/// The safety decorator around any engine's sandbox: lifecycle calls never overlap, freeze, thaw and destroy are idempotent, and after the
/// first error of any call the sandbox is as good as dead and is handed to the janitor. Engines can therefore stay simple. Thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// Running --TryBeginFreeze--> Freezing --CompleteFreezeAsync--> Frozen --ThawAsync--> Running
///    ^                           |
///    +--------ThawAsync----------+                any --DestroyAsync or an error--> Dead
/// </code>
/// Every other transition is refused.
/// </remarks>
internal sealed class GuardedSandbox(ISandbox inner, Action<GuardedSandbox> onError) : ISandbox
{
    private enum Phase { Running, Freezing, Frozen, Dead }

    /// <summary>Held across the engine's own freeze and thaw, so that they never overlap. Never disposed: it owns no handle.</summary>
    private readonly SemaphoreSlim _lifecycle = new(1, 1);
    private readonly Lock _destroyLock = new();
    /// <summary>A <see cref="Phase"/>. Running to Freezing by anyone; the rest under <see cref="_lifecycle"/>; Dead by anyone, for good.</summary>
    private int _phase;
    /// <summary>The running or the last attempt to destroy; guarded by <see cref="_destroyLock"/>.</summary>
    private Task? _destroy;

    public string Id => inner.Id;
    public Stream Channel => inner.Channel;
    public StartMode Start => inner.Start;
    public string? StartReason => inner.StartReason;
    public SandboxMaking Making => inner.Making;
    public IReadOnlyDictionary<string, string>? GuestEnvironment => inner.GuestEnvironment;
    public ISandboxTemplate? Template => inner.Template;
    public Task<SandboxExit> Exited => inner.Exited;
    public bool IsDead => Now == Phase.Dead;
    public bool IsFrozen => Now == Phase.Frozen;

    /// <summary>The engine has proved it gone.</summary>
    public bool IsGone
    {
        get
        {
            lock (_destroyLock)
            {
                return _destroy is { IsCompletedSuccessfully: true };
            }
        }
    }

    private Phase Now => (Phase)Volatile.Read(ref _phase);

    public void AttachOutput(RawOutputHandler? handler) => Guard(inner, handler, static (sandbox, output) => sandbox.AttachOutput(output));

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        RefuseDead();
        try
        {
            var drained = inner.DrainOutputAsync(cancellationToken);
            return drained.IsCompletedSuccessfully ? drained : DrainSlowAsync(drained);
        }
        catch (Exception exception)
        {
            throw Fail(exception, "drained");
        }
    }

    public void ResetPeakMemory() => Guard(inner, 0, static (sandbox, _) => sandbox.ResetPeakMemory());

    public long? ReadPeakMemory()
    {
        RefuseDead();
        try
        {
            return inner.ReadPeakMemory();
        }
        catch (Exception exception)
        {
            throw Fail(exception, "measured");
        }
    }

    /// <summary>
    /// Announces a freeze that <see cref="CompleteFreezeAsync"/> then does; false when the sandbox is not running. Cheap and without waiting, so the pool can call it
    /// under its lock: a thaw that comes later is sure to see it.
    /// </summary>
    public bool TryBeginFreeze() => Interlocked.CompareExchange(ref _phase, (int)Phase.Freezing, (int)Phase.Running) == (int)Phase.Running;

    public ValueTask FreezeAsync(CancellationToken cancellationToken)
    {
        TryBeginFreeze();
        return CompleteFreezeAsync(cancellationToken);
    }

    /// <summary>
    /// Does what <see cref="TryBeginFreeze"/> announced, unless a thaw came in between. Must not announce by itself: the sandbox may be
    /// running an invocation by now, and nobody would thaw it.
    /// </summary>
    public async ValueTask CompleteFreezeAsync(CancellationToken cancellationToken)
    {
        await _lifecycle.WaitAsync(cancellationToken);
        try
        {
            // A thaw that came in between wins, because somebody wants to use the sandbox.
            if (Now == Phase.Freezing)
            {
                await inner.FreezeAsync(cancellationToken);
                Move(Phase.Freezing, Phase.Frozen);
            }
        }
        catch (Exception exception)
        {
            throw Fail(exception, "frozen");
        }
        finally
        {
            _lifecycle.Release();
        }
    }

    public ValueTask ThawAsync(CancellationToken cancellationToken) =>
        Now == Phase.Running ? ValueTask.CompletedTask : ThawSlowAsync(cancellationToken);

    /// <summary>Calls share one attempt; a call after a failed attempt makes a new one.</summary>
    public Task DestroyAsync()
    {
        Interlocked.Exchange(ref _phase, (int)Phase.Dead);
        lock (_destroyLock)
        {
            if (_destroy is null or { IsFaulted: true } or { IsCanceled: true })
            {
                _destroy = DestroyInnerAsync();
            }
            return _destroy;
        }
    }

    private async ValueTask DrainSlowAsync(ValueTask drained)
    {
        try
        {
            await drained;
        }
        catch (Exception exception)
        {
            throw Fail(exception, "drained");
        }
    }

    private async ValueTask ThawSlowAsync(CancellationToken cancellationToken)
    {
        await _lifecycle.WaitAsync(cancellationToken);
        try
        {
            RefuseDead();
            // When the freeze has only been announced there is nothing to undo, and it will see that it was overtaken.
            if (!Move(Phase.Freezing, Phase.Running) && Now == Phase.Frozen)
            {
                await inner.ThawAsync(cancellationToken);
                Move(Phase.Frozen, Phase.Running);
            }
        }
        catch (Exception exception)
        {
            throw Fail(exception, "thawed");
        }
        finally
        {
            _lifecycle.Release();
        }
        RefuseDead();
    }

    private async Task DestroyInnerAsync()
    {
        try
        {
            await inner.DestroyAsync();
        }
        catch (Exception exception) when (exception is not EngineException)
        {
            throw new EngineException($"Sandbox {inner.Id} could not be destroyed: {exception.Message}", exception);
        }
    }

    private bool Move(Phase from, Phase to) => Interlocked.CompareExchange(ref _phase, (int)to, (int)from) == (int)from;

    private void RefuseDead()
    {
        if (IsDead)
        {
            throw new EngineException($"Sandbox {inner.Id} is destroyed.");
        }
    }

    private void Guard<T>(ISandbox sandbox, T argument, Action<ISandbox, T> call)
    {
        RefuseDead();
        try
        {
            call(sandbox, argument);
        }
        catch (Exception exception)
        {
            throw Fail(exception, "used");
        }
    }

    /// <summary>Marks it dead, hands it to the janitor, and makes an <see cref="EngineException"/> of whatever the engine threw.</summary>
    private EngineException Fail(Exception exception, string verb)
    {
        Interlocked.Exchange(ref _phase, (int)Phase.Dead);
        onError(this);
        return exception as EngineException ?? new EngineException($"Sandbox {inner.Id} could not be {verb}: {exception.Message}", exception);
    }
}

using System.Collections.Concurrent;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Engines;

/// <summary>The template in a fake sandbox that was made as a snapshot. It watches that one fork lives at a time.</summary>
public sealed class FakeTemplate : ISandboxTemplate
{
    private readonly FakeSandbox _whole;
    private readonly ConcurrentQueue<FakeSandbox> _forks = new();
    private int _overlaps;

    internal FakeTemplate(FakeSandbox whole) => _whole = whole;

    /// <summary>Every fork ever made, in order.</summary>
    public IReadOnlyCollection<FakeSandbox> Forks => _forks;

    public FakeSandbox? Last => _forks.LastOrDefault();

    /// <summary>How often a fork was asked for while another was not destroyed yet.</summary>
    public int Overlaps => _overlaps;

    /// <summary>Called before each fork is made, with its number from 1; may throw or wait.</summary>
    public Func<int, Task> OnFork { get; set; } = _ => Task.CompletedTask;

    public async Task<ISandbox> ForkAsync(CancellationToken cancellationToken)
    {
        if (_forks.Any(fork => !fork.Destroyed))
        {
            Interlocked.Increment(ref _overlaps);
            throw new EngineException("One fork lives at a time.");
        }
        if (_whole.Script.Unsafe.Count > 0)
        {
            throw new SnapshotUnsafeException(_whole.Script.Unsafe);
        }
        await OnFork(_forks.Count + 1).WaitAsync(cancellationToken);
        if (_whole.IsDead)
        {
            throw new EngineException($"The template in {_whole.Id} is gone.");
        }
        var fork = new FakeSandbox(_whole, _forks.Count + 1);
        _forks.Enqueue(fork);
        _whole.OnForked(fork);
        return fork;
    }
}

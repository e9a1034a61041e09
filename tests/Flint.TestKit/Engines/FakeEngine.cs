using System.Collections.Concurrent;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Engines;

/// <summary>An engine without a host: sandboxes whose guests follow a script. Thread-safe.</summary>
public sealed class FakeEngine(string name = "native") : ISandboxEngine
{
    private readonly ConcurrentDictionary<string, FakeSandbox> _live = new();
    private readonly ConcurrentQueue<FakeSandbox> _all = new();
    private int _created;
    private int _mostLive;

    public string Name => name;

    /// <summary>By default all that there is. May be changed while it runs.</summary>
    public EngineCapabilities Capabilities { get; set; } =
        new(["python3.11", "nodejs20"], Freeze: true, PeakMemory: true, Unenforced: []) { NoSnapshot = null, NoEgress = null };

    /// <summary>Why a sandbox is started by exec although a zygote was asked for; null (the default) where it is not.</summary>
    public Func<SandboxSpec, string?> ExecReason { get; set; } = _ => null;

    /// <summary>Names of variables that a snapshot cannot obey.</summary>
    public IReadOnlyList<string> BootVariables { get; set; } = [];

    /// <summary>The script of the sandboxes made from now on; by default every event is echoed.</summary>
    public Func<SandboxSpec, FakeScript> Script { get; set; } = _ => new FakeScript();

    /// <summary>When set, <see cref="StartAsync"/> fails with it.</summary>
    public string? StartFailure { get; set; }

    /// <summary>Called before a sandbox is made; may throw or wait.</summary>
    public Func<SandboxSpec, CancellationToken, Task> OnCreate { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>Called with every new sandbox before it is handed out.</summary>
    public Action<FakeSandbox> OnCreated { get; set; } = _ => { };

    /// <summary>Called with every new fork of a snapshot before it is handed out.</summary>
    public Action<FakeSandbox> OnForked { get; set; } = _ => { };

    public int Created => _created;

    /// <summary>Made and not destroyed.</summary>
    public int Live => _live.Count;

    /// <summary>The most that lived at a time.</summary>
    public int MostLive => _mostLive;

    /// <summary>Every sandbox ever made, in order.</summary>
    public IReadOnlyCollection<FakeSandbox> Sandboxes => _all;

    public FakeSandbox Last => _all.Last();

    public Task StartAsync(CancellationToken cancellationToken) =>
        StartFailure is null ? Task.CompletedTask : throw new EngineException(StartFailure);

    public Task<EngineReport> ProbeAsync(CancellationToken cancellationToken) => Task.FromResult(
        new EngineReport(Name, StartFailure is null, StartFailure ?? "Fake sandboxes for tests", Capabilities.Runtimes, []));

    public string? BootVariable(string runtime, IReadOnlyDictionary<string, string> environment) => BootVariables.FirstOrDefault(environment.ContainsKey);

    public async Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken)
    {
        await OnCreate(spec, cancellationToken);
        var sandbox = new FakeSandbox(this, $"fake-{Interlocked.Increment(ref _created)}", spec, Script(spec));
        _live[sandbox.Id] = sandbox;
        _all.Enqueue(sandbox);
        for (int live = _live.Count, most = _mostLive; live > most; most = _mostLive)
        {
            Interlocked.CompareExchange(ref _mostLive, live, most);
        }
        OnCreated(sandbox);
        return sandbox;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    internal void Gone(FakeSandbox sandbox) => _live.TryRemove(sandbox.Id, out _);
}

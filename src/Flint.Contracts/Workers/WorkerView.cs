namespace Flint.Contracts.Workers;

/// <summary>Answer of <c>GET /api/workers</c>: the servers that take work from the queue.</summary>
public sealed record WorkersView(IReadOnlyList<WorkerView> Items);

/// <summary>One worker, as it last told of itself.</summary>
public sealed record WorkerView
{
    /// <summary>New with each start, and after each lease that was lost.</summary>
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required string ProductVersion { get; init; }
    public required IReadOnlyList<string> Roles { get; init; }
    /// <summary>The server that answers.</summary>
    public bool Self { get; init; }
    /// <summary><c>active</c>; <c>draining</c>: it takes no more work; <c>drained</c>: and nothing runs any more; <c>lost</c>: its lease is over.</summary>
    public required string Status { get; init; }
    /// <summary>Items that it runs at most, at the moment.</summary>
    public int Places { get; init; }
    public int Running { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public required DateTimeOffset SeenAt { get; init; }
    /// <summary>Until its work is given to others, unless it renews; negative when that is past.</summary>
    public long LeaseLeftMs { get; init; }
    public WorkerDetailsView? Details { get; init; }
}

/// <summary>A worker's host and sandboxes.</summary>
public sealed record WorkerDetailsView
{
    public int Cores { get; init; }
    /// <summary>The host's load average of the last minute.</summary>
    public double? Load { get; init; }
    public long? MemoryAvailableMb { get; init; }
    /// <summary>The available memory is below Flint:Sandbox:MemoryFloorMb.</summary>
    public bool UnderPressure { get; init; }
    public int SandboxesBusy { get; init; }
    public int SandboxesIdle { get; init; }
    public IReadOnlyList<WorkerEngineView> Engines { get; init; } = [];
}

/// <summary>An engine of a worker.</summary>
public sealed record WorkerEngineView(string Name, bool Available, IReadOnlyList<string> Runtimes);

/// <summary>A function's queue.</summary>
/// <param name="FunctionName">Whose.</param>
/// <param name="Paused">Nothing of it is begun until it is resumed.</param>
/// <param name="Waiting">Queued invocations that have not begun.</param>
/// <param name="Running">Queued invocations that run.</param>
public sealed record FunctionQueueView(string FunctionName, bool Paused, int Waiting, int Running);

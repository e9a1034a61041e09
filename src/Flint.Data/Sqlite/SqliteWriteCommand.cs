namespace Flint.Data.Sqlite;

/// <summary>One command in the writer's queue. The writer runs it, then settles it once, after the commit.</summary>
internal abstract class SqliteWriteCommand
{
    private const int Queued = 0;
    private const int Started = 1;
    private const int Withdrawn = 2;
    private int _state;

    public Exception? Failure { get; private set; }

    /// <summary>It may be run again after it was rolled back.</summary>
    public abstract bool Repeatable { get; }

    /// <summary>False when the caller has withdrawn it.</summary>
    public bool TryStart() => Interlocked.CompareExchange(ref _state, Started, Queued) == Queued;

    public void Fail(Exception exception) => Failure ??= exception;

    /// <summary>Runs the work; throws what it throws.</summary>
    public abstract void Run(SqliteWriteScope scope);

    /// <summary>Tells the caller: the result, or <see cref="Failure"/>.</summary>
    public abstract void Settle();

    protected bool TryWithdraw() => Interlocked.CompareExchange(ref _state, Withdrawn, Queued) == Queued;
}

internal sealed class SqliteWriteCommand<T>(Func<SqliteWriteScope, T> work, bool repeatable) : SqliteWriteCommand
{
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private T _result = default!;

    public Task<T> Task => _done.Task;

    public override bool Repeatable => repeatable;

    public override void Run(SqliteWriteScope scope) => _result = work(scope);

    public override void Settle()
    {
        if (Failure is { } failure)
        {
            _done.TrySetException(failure);
        }
        else
        {
            _done.TrySetResult(_result);
        }
    }

    /// <summary>Cancels it when the writer has not begun it; a command that runs is waited for.</summary>
    public void Withdraw(CancellationToken cancellationToken)
    {
        if (TryWithdraw())
        {
            _done.TrySetCanceled(cancellationToken);
        }
    }
}

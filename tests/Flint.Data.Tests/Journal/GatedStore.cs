using System.Threading.Channels;
using Flint.Data.Invocations;

namespace Flint.Data.Tests.Journal;

/// <summary>A store in memory whose every append waits for the test: it sees the batch, then lets it pass or fail.</summary>
internal sealed class GatedStore : IInvocationStore
{
    private readonly Channel<Append> _appends = Channel.CreateUnbounded<Append>();
    private readonly Dictionary<(string, string), InvocationRow> _rows = [];

    private readonly List<Append> _all = [];
    private bool _open;

    public IReadOnlyCollection<InvocationRow> Rows
    {
        get
        {
            lock (_rows)
            {
                return [.. _rows.Values];
            }
        }
    }

    /// <summary>The next append that the journal makes.</summary>
    public async Task<Append> NextAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        return await _appends.Reader.ReadAsync(limit.Token);
    }

    /// <summary>True when no append was begun.</summary>
    public bool IsIdle => _appends.Reader.Count == 0;

    public async Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken)
    {
        var append = new Append(rows);
        lock (_rows)
        {
            _all.Add(append);
            if (_open)
            {
                append.Pass();
            }
            else
            {
                _appends.Writer.TryWrite(append);
            }
        }

        await append.Gate.Task.WaitAsync(cancellationToken);
        Keep(rows);
    }

    /// <summary>Lets every append pass, now and later.</summary>
    public void Open()
    {
        lock (_rows)
        {
            _open = true;
            _all.ForEach(append => append.Pass());
        }
    }

    public void Keep(IEnumerable<InvocationRow> rows)
    {
        lock (_rows)
        {
            foreach (var row in rows)
            {
                _rows.TryAdd((row.TenantId, row.Id), row);
            }
        }
    }

    public Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        lock (_rows)
        {
            return Task.FromResult(_rows.GetValueOrDefault((tenantId, id)));
        }
    }

    /// <summary>Runs when a list has been read and before it is returned.</summary>
    public Func<Task> AfterListing { get; set; } = () => Task.CompletedTask;

    public async Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken)
    {
        var found = Rows.Where(row => InvocationRules.Matches(query, row)).OrderByDescending(row => row.Id, StringComparer.Ordinal)
            .Skip(query.Offset).Take(query.Limit + 1).Select(InvocationRules.ForList).ToList();
        await AfterListing();
        return InvocationRules.Page(found, query.Limit);
    }

    public Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken) => Task.FromResult(0);

    internal sealed record Append(IReadOnlyList<InvocationRow> Rows)
    {
        public TaskCompletionSource Gate { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Pass() => Gate.TrySetResult();

        public void Fail() => Gate.TrySetException(new IOException("no store"));
    }
}

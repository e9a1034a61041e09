using System.Data.Common;
using System.Text;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Data.Tests.Migrations;

namespace Flint.Data.Tests.Conformance;

/// <summary>What the queue must do on every provider (docs/decisions/0009-the-queue.md). Time passes by setting what is stored to long ago.</summary>
public abstract partial class QueueConformance : StoreConformance
{
    private protected static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    private readonly DateTimeOffset _start = TimeProvider.System.GetUtcNow();
    private int _entries;

    private protected IQueueStore Queue => Store.Queue;

    /// <summary>SQL for a time long ago.</summary>
    protected abstract string Past { get; }

    /// <summary>A connection of the test's own to the store's database.</summary>
    protected abstract Task<DbConnection> ConnectAsync();

    /// <summary>Its id is above those of the entries before it.</summary>
    private protected QueueEntry Entry(string tenant = "default", string lane = "jobs", int priority = 0, string mode = "job") => new()
    {
        Row = new InvocationRow
        {
            TenantId = tenant,
            Id = Guid.CreateVersion7(_start.AddMilliseconds(Interlocked.Increment(ref _entries))).ToString("D"),
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = mode,
            Status = "PENDING",
            CreatedAt = TimeProvider.System.GetUtcNow(),
            MemoryMb = 128,
            Payload = "[1]"u8.ToArray(),
        },
        WorkJson = """{"job":{}}""",
        Lane = lane,
        Priority = priority,
    };

    private protected List<QueueEntry> Entries(int count, string tenant = "default", string lane = "jobs", int priority = 0) =>
        Enumerable.Range(0, count).Select(_ => Entry(tenant, lane, priority)).ToList();

    private protected async Task<string> EnqueueAsync(QueueEntry entry)
    {
        (await Queue.EnqueueAsync([entry], default)).ShouldBe([new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id)]);
        return entry.Row.Id;
    }

    private protected async Task EnqueueAsync(IEnumerable<QueueEntry> entries)
    {
        foreach (var chunk in entries.Chunk(1000))
        {
            (await Queue.EnqueueAsync(chunk, default)).ShouldAllBe(result => result.Outcome == EnqueueOutcome.Added);
        }
    }

    private protected static WorkerInfo Worker(string id = "w1") => new() { Id = id, Name = "host-" + id, ProductVersion = "1.2.3", Roles = "api,worker" };

    private protected Task RegisterAsync(params string[] ids) => Task.WhenAll(ids.Select(id => Queue.RegisterAsync(Worker(id), Hour, default)));

    private protected async Task<IReadOnlyList<ClaimedItem>> ClaimAsync(int places = 10, string worker = "w1")
    {
        var claim = await Queue.ClaimAsync(new ClaimRequest(worker, places), default);
        claim.LeaseHeld.ShouldBeTrue();
        return claim.Items;
    }

    private protected async Task<ClaimedItem> ClaimOneAsync(string worker = "w1") => (await ClaimAsync(10, worker)).ShouldHaveSingleItem();

    /// <summary>Until the claim brings something, for what becomes due by real time.</summary>
    private protected async Task<IReadOnlyList<ClaimedItem>> ClaimWhenDueAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (true)
        {
            var claim = await Queue.ClaimAsync(new ClaimRequest("w1", 10), limit.Token);
            if (claim.Items.Count > 0)
            {
                return claim.Items;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(5), limit.Token);
        }
    }

    private protected static Settlement.Finished Finished(ClaimedItem item, string status = "COMPLETED", string? attempts = null) => new(item.LeaseNo, Ended(item, status), attempts);

    private protected static InvocationRow Ended(ClaimedItem item, string status = "COMPLETED") => new()
    {
        TenantId = item.TenantId,
        Id = item.Id,
        FunctionId = "ignored",
        FunctionName = "ignored",
        Version = "7",
        Mode = "ignored",
        Status = status,
        ErrorType = status == "COMPLETED" ? null : "Unhandled",
        ErrorJson = status == "COMPLETED" ? null : """{"type":"Unhandled","name":"E","message":"é","stackTrace":[]}""",
        CreatedAt = DateTimeOffset.UnixEpoch,
        StartedAt = Rows.Start,
        CompletedAt = Rows.Start.AddMilliseconds(9),
        DurationMs = 8.5,
        InitDurationMs = 2.5,
        BilledMs = 9,
        MemoryMb = 256,
        PeakMemoryBytes = 12_345,
        ColdStart = true,
        Engine = "native",
        StartMode = "zygote",
        StartReason = "reason",
        SandboxId = "s-1",
        Unenforced = "pids",
        Payload = "[\"ignored\"]"u8.ToArray(),
        Result = "42"u8.ToArray(),
        Log = Encoding.UTF8.GetBytes("""{"t":1,"s":"stdout","m":"hi"}""" + "\n"),
        LogDroppedLines = 1,
        LogDroppedBytes = 10,
    };

    private protected async Task<bool> SettleAsync(Settlement settlement) => (await Queue.SettleAsync([settlement], default)).ShouldHaveSingleItem();

    private protected static Settlement.Retry Again(ClaimedItem item, TimeSpan delay = default, bool counts = true, string? attempts = null) =>
        new(item.TenantId, item.Id, item.LeaseNo, delay, counts, attempts);

    private protected static Settlement.Release GiveBack(ClaimedItem item) => new(item.TenantId, item.Id, item.LeaseNo);

    private protected async Task<InvocationRow> RecordAsync(string id, string tenant = "default") => (await Store.Invocations.GetAsync(tenant, id, default)).ShouldNotBeNull();

    /// <summary>Statuses of all records of a tenant, oldest first.</summary>
    private protected async Task<List<string>> StatusesAsync(string tenant = "default") =>
        [.. (await Store.Invocations.ListAsync(new() { TenantId = tenant, Limit = 1000 }, default)).Rows.Reverse().Select(row => row.Status)];

    private protected async Task ListsAsync(InvocationQuery query, params IEnumerable<string> ids)
    {
        (await Store.Invocations.ListAsync(query, default)).Rows.Select(row => row.Id).ShouldBe(ids, query.ToString());
        (await Queue.CountAsync(query, 1000, default)).ShouldBe(ids.Count(), query.ToString());
    }

    private protected Task EndLeaseAsync(string worker) => ExecuteAsync($"UPDATE workers SET lease_until = {Past} WHERE id = '{worker}'");

    private protected async Task ExecuteAsync(string sql)
    {
        await using var connection = await ConnectAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    private protected async Task<List<string>> LinesAsync(string sql)
    {
        await using var connection = await ConnectAsync();
        return await SchemaText.LinesAsync(connection, sql);
    }

    /// <summary>What retention adds up is what is there. What is unfinished may be counted with its end.</summary>
    private protected async Task TotalsAreRightAsync()
    {
        (await LinesAsync("""
            SELECT t.tenant_id || ' ' || (t.data_bytes - coalesce((SELECT sum(i.data_bytes) FROM invocations i WHERE i.tenant_id = t.tenant_id), 0)) FROM invocation_totals t
            """)).ShouldAllBe(line => line.EndsWith(" 0"));
        (await LinesAsync("""
            SELECT i.id || '' FROM invocations i
            LEFT JOIN invocation_data d ON d.tenant_id = i.tenant_id AND d.id = i.id LEFT JOIN invocation_work w ON w.tenant_id = i.tenant_id AND w.id = i.id
            WHERE i.status <> 'PENDING' AND i.data_bytes <> coalesce(octet_length(d.error), 0) + coalesce(octet_length(d.result), 0) + coalesce(octet_length(d.log), 0)
                + coalesce(octet_length(w.work), 0) + coalesce(octet_length(w.source), 0) + coalesce(octet_length(w.payload), 0)
            """)).ShouldBeEmpty();
    }
}

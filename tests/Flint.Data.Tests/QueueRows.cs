using System.Text;
using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Tests;

/// <summary>Test data of the queue.</summary>
internal static class QueueRows
{
    public const string DefaultLane = "jobs";

    public static QueueEntry Entry(string tenant = "default", string lane = DefaultLane, DateTimeOffset? at = null) => new()
    {
        Row = new InvocationRow
        {
            TenantId = tenant,
            Id = Guid.CreateVersion7(at ?? TimeProvider.System.GetUtcNow()).ToString("D"),
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = "job",
            Status = "PENDING",
            CreatedAt = at ?? TimeProvider.System.GetUtcNow(),
            MemoryMb = 512,
            Payload = Encoding.UTF8.GetBytes("[1,2]"),
        },
        WorkJson = """{"job":{"runtime":"nodejs20"}}""",
        Source = Encoding.UTF8.GetBytes("function main(a, b) { return a + b; }"),
        Lane = lane,
    };

    /// <summary>In the order in which they are to be claimed.</summary>
    public static List<QueueEntry> Entries(int count, string tenant = "default", string lane = DefaultLane)
    {
        var from = TimeProvider.System.GetUtcNow();
        return [.. Enumerable.Range(0, count).Select(i => Entry(tenant, lane, from.AddMilliseconds(i)))];
    }

    public static WorkerInfo Worker(string name = "host/1") => new()
    {
        Id = Guid.CreateVersion7().ToString("D"),
        Name = name,
        ProductVersion = "0.1.0",
        Roles = "worker",
        Places = 10,
    };

    public static Settlement.Finished Finished(ClaimedItem item, string status = "COMPLETED") => new(
        item.LeaseNo,
        new InvocationRow
        {
            TenantId = item.TenantId,
            Id = item.Id,
            FunctionId = item.FunctionId,
            FunctionName = item.FunctionName,
            Version = item.Version,
            Mode = item.Mode,
            Status = status,
            ErrorType = status == "FAILED" ? "Unhandled" : null,
            ErrorJson = status == "FAILED" ? """{"type":"Unhandled","name":"Error","message":"no","stackTrace":[]}""" : null,
            CreatedAt = item.CreatedAt,
            StartedAt = item.ClaimedAt,
            CompletedAt = item.ClaimedAt.AddMilliseconds(5),
            DurationMs = 3.5,
            BilledMs = 4,
            MemoryMb = 512,
            ColdStart = true,
            Engine = "native",
            SandboxId = "s-1",
            Result = Encoding.UTF8.GetBytes("3"),
        },
        $$"""[{"number":{{item.Attempt}}}]""");
}

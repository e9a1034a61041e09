using System.Net;
using System.Text.Json;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;
using Flint.TestKit.Time;
using QueueNotices = Flint.Server.Queue.QueueNotices;

namespace Flint.Server.Tests.Queue.Jobs;

/// <summary>The real server for tests of jobs, which play the worker themselves.</summary>
internal static class JobServer
{
    private const string Worker = "01990000-0000-7000-8000-000000000001";

    public static async Task<TestServer> StartAsync(params string[] args)
    {
        var server = await TestServer.StartAsync(
            services: services => services.Remove(services.Single(service => service.ImplementationType == typeof(WorkerPlane))), args: args);
        await server.Get<IQueueStore>().RegisterAsync(
            new WorkerInfo { Id = Worker, Name = "test", ProductVersion = "0", Roles = "worker", Places = 10 }, TimeSpan.FromMinutes(10), CancellationToken.None);
        return server;
    }

    /// <summary>The new job's id.</summary>
    public static async Task<string> SubmitAsync(this TestServer server, string json)
    {
        using var answer = await server.PostAsync("/api/jobs", json);
        return (await answer.ReadAsync(HttpStatusCode.Accepted)).Text("id")!;
    }

    public static async Task<JsonElement> GetJobAsync(this TestServer server, string id)
    {
        using var answer = await server.GetAsync("/api/jobs/" + id);
        return await answer.ReadAsync();
    }

    public static async Task<JsonElement> RerunAsync(this TestServer server, string id, string? changes)
    {
        using var answer = await server.SendAsync(HttpMethod.Post, $"/api/jobs/{id}/rerun", changes);
        return await answer.ReadAsync(HttpStatusCode.Accepted);
    }

    /// <summary>The next job, as a worker gets it.</summary>
    public static async Task<ClaimedItem> ClaimAsync(this TestServer server) =>
        (await server.Get<IQueueStore>().ClaimAsync(new ClaimRequest(Worker, 1), CancellationToken.None)).Items.Single();

    /// <summary>Claims and ends it.</summary>
    public static async Task FinishAsync(this TestServer server, string id, Func<InvocationRow, InvocationRow> outcome)
    {
        var item = await server.ClaimAsync();
        item.Id.ShouldBe(id);
        (await server.SettleAsync(item, outcome)).ShouldBeTrue();
    }

    /// <summary>False when the lease was lost.</summary>
    public static async Task<bool> SettleAsync(this TestServer server, ClaimedItem item, Func<InvocationRow, InvocationRow> outcome)
    {
        var row = outcome(new InvocationRow
        {
            TenantId = item.TenantId,
            Id = item.Id,
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = item.Mode,
            Status = "COMPLETED",
            CreatedAt = item.CreatedAt,
            StartedAt = item.ClaimedAt,
            CompletedAt = item.ClaimedAt,
            Payload = item.Payload,
        });
        var attempts = JsonSerializer.Serialize(
            [new AttemptNote(item.Attempt, item.ClaimedAt, item.ClaimedAt, row.Status, row.ErrorType, null, "test", row.DurationMs)], QueuedWorkJson.Default.ListAttemptNote);
        var settled = await server.Get<IQueueStore>().SettleAsync([new Settlement.Finished(item.LeaseNo, row, attempts)], CancellationToken.None);
        server.Get<QueueNotices>().Finished([item.Id]);
        return settled[0];
    }

    public static Task UntilWaitedForAsync(this TestServer server, string id) =>
        Eventually.True(() => server.Get<FinishWaits>().IsWaitedFor(id), "somebody waits for it");
}

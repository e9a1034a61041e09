using System.Net;
using Flint.Data.Invocations;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Flint.Server.Tests.Api;

public sealed class HistoryLimitTests
{
    [Fact]
    public async Task Nothing_runs_while_callers_wait_for_the_journal_and_what_ran_is_recorded()
    {
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await TestServer.StartAsync(
            services: services => Gate(services, gate.Task), args: ["--Flint:Database:JournalMaxBytes", "1048576", "--Flint:Database:JournalMaxRows", "1"]);
        await server.DeployAsync("echo");
        var large = $"\"{new string('x', 600_000)}\"";
        await server.InvokeAsync("echo", large);
        var waiting = server.InvokeAsync("echo", large);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!server.Get<InvocationJournal>().IsOverloaded)
        {
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        using var refused = await server.SendAsync(HttpMethod.Post, "/api/functions/echo/invoke", "1");
        refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter.ShouldNotBeNull();
        (await refused.Content.ReadAsStringAsync()).ShouldContain("Flint:Database:JournalMaxBytes");

        gate.SetResult();
        await waiting;
        await server.InvokeAsync("echo", "1");
        using var list = await server.GetAsync("/api/invocations");
        System.Text.Json.JsonDocument.Parse(await list.Content.ReadAsStringAsync()).RootElement.GetProperty("items").GetArrayLength().ShouldBe(3);
    }

    [Fact]
    public async Task History_beyond_its_bytes_is_removed_soon()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:History:MaxMegabytes", "1"]);
        await server.DeployAsync("echo");
        for (var i = 0; i < 10; i++)
        {
            await server.InvokeAsync("echo", $"\"{new string('x', 300_000)}\"");
        }

        // Three fit; the regular run is minutes away.
        var store = server.Get<IInvocationStore>();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while ((await store.ListAsync(new() { TenantId = "default" }, limit.Token)).Rows.Count != 3)
        {
            await Task.Yield();
        }
    }

    private static void Gate(IServiceCollection services, Task gate)
    {
        var inner = services.Last(service => service.ServiceType == typeof(IInvocationStore)).ImplementationType!;
        services.RemoveAll<IInvocationStore>();
        services.AddSingleton<IInvocationStore>(provider => new GatedStore((IInvocationStore)ActivatorUtilities.CreateInstance(provider, inner), gate));
    }

    private sealed class GatedStore(IInvocationStore inner, Task gate) : IInvocationStore
    {
        public async Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken)
        {
            await gate.WaitAsync(cancellationToken);
            await inner.AppendAsync(rows, cancellationToken);
        }

        public Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken) => inner.GetAsync(tenantId, id, cancellationToken);

        public Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken) => inner.ListAsync(query, cancellationToken);

        public Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken) =>
            inner.PruneAsync(retention, now, pageSize, cancellationToken);
    }
}

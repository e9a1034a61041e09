using System.Net;
using System.Net.Sockets;
using System.Text;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Server.Api;
using Flint.Server.Tests.Support;

namespace Flint.Server.Tests.Hosting;

/// <summary>The server's own faults, and clients that take their time.</summary>
public sealed class FaultTests
{
    [Fact]
    public async Task An_unexpected_fault_shows_a_correlation_id_and_no_internals()
    {
        await using var server = await TestServer.StartAsync(services: services =>
            services.Decorate<ICatalogStore>(_ => new BrokenCatalog(new InvalidOperationException("secret of /srv/flint"))));
        var answer = await server.GetAsync("/api/functions");
        var problem = await answer.ShouldBeProblemAsync(500, "internal_error");
        problem.Text("correlationId")!.Length.ShouldBe(32);
        problem.GetRawText().ShouldNotContain("secret");
        problem.GetRawText().ShouldNotContain("Exception");
    }

    [Fact]
    public async Task A_database_that_is_away_is_503_without_internals()
    {
        await using var server = await TestServer.StartAsync(services: services =>
            services.Decorate<ICatalogStore>(_ => new BrokenCatalog(new DatabaseException("secret host"))));
        var problem = await (await server.PostAsync("/api/functions/f/invoke", "{}")).ShouldBeProblemAsync(503, "store_unavailable");
        problem.Text("correlationId").ShouldNotBeNullOrEmpty();
        problem.GetRawText().ShouldNotContain("secret");
    }

    [Fact]
    public async Task Few_large_uploads_are_in_memory_at_a_time()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        var gate = server.Get<UploadGate>();
        var slots = new List<UploadGate.Slot>();
        for (var i = 0; i < 4; i++)
        {
            slots.Add(await gate.EnterAsync(null, CancellationToken.None));
        }

        var large = server.SendAsync(HttpMethod.Put, "/api/functions/f/code", $$"""{"inline":"{{new string('#', 2 * 1024 * 1024)}}"}""");
        await server.DeployAsync("small");
        large.IsCompleted.ShouldBeFalse();
        slots[0].Dispose();
        (await large).StatusCode.ShouldBe(HttpStatusCode.OK);
        slots.Skip(1).ToList().ForEach(slot => slot.Dispose());
        for (var i = 0; i < 6; i++)
        {
            // Slots come back from refusals too.
            (await server.SendAsync(HttpMethod.Put, "/api/functions/f/code", $$"""{"inlin":"{{new string('#', 2 * 1024 * 1024)}}"}""")).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        }
    }

    [Theory]
    [InlineData("GET /health/live HTTP/1.1\r\nHost: local")]
    [InlineData("POST /api/functions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")]
    public async Task A_request_that_comes_too_slowly_is_ended(string sent)
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Http:HeadersTimeoutMs", "1000"]);
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port);
        await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(sent));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var answer = await new StreamReader(socket.GetStream()).ReadToEndAsync(patience.Token);
        answer.ShouldStartWith("HTTP/1.1 408 ");
    }

    [Fact]
    public async Task A_publication_that_always_comes_second_is_a_conflict()
    {
        var tries = 0;
        await using var server = await TestServer.StartAsync(services: services => services.Decorate<ICatalogStore>(inner => new RacedCatalog(inner, () => tries++)));
        await server.DeployAsync("f");
        tries = 0;
        await (await server.PostAsync("/api/functions/f/versions", "{}")).ShouldBeProblemAsync(409, "publish_conflict", "name");
        tries.ShouldBe(5);
    }

    [Theory]
    [InlineData("/api/functions?search=a%00b", "search")]
    [InlineData("/api/functions?cursor=YQBi", "cursor")]
    public async Task A_nul_in_a_query_is_refused_by_name(string path, string field)
    {
        await using var server = await TestServer.StartAsync();
        await (await server.GetAsync(path)).ShouldBeProblemAsync(400, "invalid_field", field);
    }

    /// <summary>Whoever publishes finds the number taken.</summary>
    private sealed class RacedCatalog(ICatalogStore inner, Action onTry) : ICatalogStore
    {
        public Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken) => inner.ReadAsync(query, cancellationToken);

        public Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken)
        {
            onTry();
            return typeof(T) == typeof(Contracts.Functions.VersionView)
                ? Task.FromException<T>(new UniqueKeyException("the number is taken", new InvalidOperationException()))
                : inner.WriteAsync(command, cancellationToken);
        }
    }

    private sealed class BrokenCatalog(Exception exception) : ICatalogStore
    {
        public Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken) => Task.FromException<T>(exception);

        public Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken) => Task.FromException<T>(exception);
    }
}

using Flint.Server.Hosting;
using Flint.Server.Security;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Security;

/// <summary>A thread that waits for sockets may run the two routes that take work, and nothing else.</summary>
public sealed class RequestThreadTests
{
    [Fact]
    public async Task Only_what_takes_work_is_marked_to_run_where_its_bytes_come()
    {
        await using var server = await TestServer.StartAsync();
        var marked = server.Get<EndpointDataSource>().Endpoints.Where(endpoint => endpoint.Metadata.GetMetadata<RunsOnSocketThread>() is not null);
        marked.Select(endpoint => endpoint.DisplayName).ShouldBe(["HTTP: POST /api/functions/{name}/invoke", "HTTP: POST /api/jobs"], ignoreOrder: true);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_other_route_leaves_that_thread_first(bool marked)
    {
        int caller = 0, route = 0;
        // A thread of its own: the pool could not be told apart from itself.
        var thread = new Thread(() =>
        {
            caller = Environment.CurrentManagedThreadId;
            var pipeline = new RequestPipeline(
                _ =>
                {
                    route = Environment.CurrentManagedThreadId;
                    return Task.CompletedTask;
                },
                new RequestProtection([]), NullLogger<RequestPipeline>.Instance);
            var http = new DefaultHttpContext { Request = { Method = "GET", Host = new HostString("localhost") } };
            http.SetEndpoint(new Endpoint(null, new EndpointMetadataCollection(marked ? [new RunsOnSocketThread()] : []), "route"));
            pipeline.InvokeAsync(http).GetAwaiter().GetResult();
        });
        thread.Start();
        thread.Join();
        (route == caller).ShouldBe(marked);
        route.ShouldNotBe(0);
    }
}

using Flint.Contracts;
using Flint.Contracts.Host;
using Flint.Server.Observability;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>What this server is made of, and whether it works.</summary>
internal static class HostEndpoints
{
    public static void MapRuntimes(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/runtimes", Runtimes).WithTags("Server").WithName("listRuntimes").WithSummary("The runtimes and engines that functions can name")
            .Produces<RuntimesView>();

    /// <summary>On every server, whatever its roles.</summary>
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/health/live", Live).WithTags("Server").WithName("live").WithSummary("The process answers").Produces<HealthView>();
        routes.MapGet("/health/ready", ReadyAsync).WithTags("Server").WithName("ready")
            .WithSummary("The server can run functions; what the host lacks is listed with advice").Produces<HealthView>().Produces<HealthView>(503);
    }

    private static IResult Runtimes(EngineDirectory engines) => Answer.Json(engines.Runtimes(), FlintJson.Default.RuntimesView);

    private static IResult Live() => Answer.Json(new HealthView("live", []), FlintJson.Default.HealthView);

    private static async Task<IResult> ReadyAsync(HealthService health, CancellationToken cancellationToken)
    {
        var view = await health.CheckAsync(cancellationToken);
        return Answer.Json(view, FlintJson.Default.HealthView, view.Status == "ready" ? 200 : 503);
    }
}

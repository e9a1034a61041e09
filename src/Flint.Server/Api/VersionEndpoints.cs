using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Publish, list, get and delete versions.</summary>
internal static class VersionEndpoints
{
    private const long BodyBytes = 16 * 1024;

    public static void MapVersions(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/functions/{name}/versions").WithTags("Versions");
        group.MapPost("", PublishAsync).WithName("publishVersion").WithSummary("Freeze the function as a numbered version; unchanged, the newest one answers")
            .Accepts<PublishVersionRequest>("application/json").Produces<VersionView>(201).Refuses(400, 404, 409, 412, 413, 415);
        group.MapGet("", ListAsync).WithName("listVersions").WithSummary("List versions, oldest first").Produces<Page<VersionView>>().Refuses(400, 404);
        group.MapGet("{version}", GetAsync).WithName("getVersion").WithSummary("Get all of one version").Produces<FunctionView>().Refuses(404);
        group.MapDelete("{version}", DeleteAsync).WithName("deleteVersion").WithSummary("Delete a version that no alias points at")
            .Produces(204).Refuses(404, 409);
    }

    private static async Task<IResult> PublishAsync(HttpContext http, VersionService versions, string name, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(
            http, FlintJson.Default.PublishVersionRequest, BodyBytes, null, cancellationToken, new PublishVersionRequest());
        var view = await versions.PublishAsync(Tenants.Default, name, request, Answer.IfMatch(http), cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.VersionView, view.RevisionId, $"/api/functions/{name}/versions/{Answer.Invariant(view.Version)}");
    }

    private static async Task<IResult> ListAsync(
        VersionService versions, string name, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await versions.ListAsync(Tenants.Default, name, PageRequest.Parse(limit, cursor), cancellationToken),
            FlintJson.Default.PageVersionView);

    private static async Task<IResult> GetAsync(
        HttpContext http, FunctionService functions, string name, string version, CancellationToken cancellationToken)
    {
        if (!Names.IsVersion(version))
        {
            throw VersionService.NotFound();
        }

        return Answer.Function(http, await functions.GetAsync(Tenants.Default, name, version, cancellationToken));
    }

    private static async Task<IResult> DeleteAsync(VersionService versions, string name, string version, CancellationToken cancellationToken)
    {
        await versions.DeleteAsync(Tenants.Default, name, version, cancellationToken);
        return Results.NoContent();
    }
}

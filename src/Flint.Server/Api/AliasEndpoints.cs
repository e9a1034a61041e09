using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Create, list, get, point elsewhere and delete aliases.</summary>
internal static class AliasEndpoints
{
    private const long BodyBytes = 16 * 1024;

    public static void MapAliases(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/functions/{name}/aliases").WithTags("Aliases");
        group.MapPost("", CreateAsync).WithName("createAlias").WithSummary("Name a version")
            .Accepts<CreateAliasRequest>("application/json").Produces<AliasView>(201).Refuses(400, 404, 409, 413, 415);
        group.MapGet("", ListAsync).WithName("listAliases").WithSummary("List aliases by name").Produces<Page<AliasView>>().Refuses(400, 404);
        group.MapGet("{alias}", GetAsync).WithName("getAlias").WithSummary("Get an alias").Produces<AliasView>().Refuses(404);
        group.MapPut("{alias}", UpdateAsync).WithName("updateAlias").WithSummary("Point an alias at another version: deploy, roll back")
            .Accepts<UpdateAliasRequest>("application/json").Produces<AliasView>().Refuses(400, 404, 412, 413, 415);
        group.MapDelete("{alias}", DeleteAsync).WithName("deleteAlias").WithSummary("Delete an alias").Produces(204).Refuses(404);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, AliasService aliases, string name, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(http, FlintJson.Default.CreateAliasRequest, BodyBytes, null, cancellationToken);
        var view = await aliases.CreateAsync(Tenants.Default, name, request, cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.AliasView, view.RevisionId, $"/api/functions/{name}/aliases/{view.Name}");
    }

    private static async Task<IResult> ListAsync(
        AliasService aliases, string name, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await aliases.ListAsync(Tenants.Default, name, PageRequest.Parse(limit, cursor), cancellationToken), FlintJson.Default.PageAliasView);

    private static async Task<IResult> GetAsync(
        HttpContext http, AliasService aliases, string name, string alias, CancellationToken cancellationToken)
    {
        var view = await aliases.GetAsync(Tenants.Default, name, alias, cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.AliasView, view.RevisionId);
    }

    private static async Task<IResult> UpdateAsync(
        HttpContext http, AliasService aliases, string name, string alias, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(http, FlintJson.Default.UpdateAliasRequest, BodyBytes, null, cancellationToken);
        var view = await aliases.UpdateAsync(Tenants.Default, name, alias, request, Answer.IfMatch(http), cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.AliasView, view.RevisionId);
    }

    private static async Task<IResult> DeleteAsync(AliasService aliases, string name, string alias, CancellationToken cancellationToken)
    {
        await aliases.DeleteAsync(Tenants.Default, name, alias, cancellationToken);
        return Results.NoContent();
    }
}

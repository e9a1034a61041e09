using Flint.Contracts;
using Flint.Contracts.Errors;
using Flint.Contracts.Functions;
using Flint.Server.Hosting;
using Flint.Server.Packages;
using Flint.Server.Security;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Create, list, get, change and delete functions.</summary>
internal static class FunctionEndpoints
{
    private const string CodeKnob = "Flint:Packages:MaxZipBytes";

    /// <summary>A JSON body without code: settings and an environment.</summary>
    private const long SettingsBytes = 256 * 1024;

    public static void MapFunctions(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/functions").WithTags("Functions");
        group.MapPost("", CreateAsync).WithName("createFunction").WithSummary("Deploy a new function")
            .Accepts<CreateFunctionRequest>("application/json").Produces<FunctionView>(201).Refuses(400, 408, 409, 413, 415, 429, 503);
        group.MapGet("", ListAsync).WithName("listFunctions").WithSummary("List functions by name; search finds in names and descriptions")
            .Produces<Page<FunctionView>>().Refuses(400);
        group.MapGet("{name}", GetAsync).WithName("getFunction").WithSummary("Get a function, or one of its versions")
            .Produces<FunctionView>().Refuses(400, 404);
        group.MapPatch("{name}", UpdateAsync).WithName("updateFunction").WithSummary("Change settings; what is not given stays")
            .Accepts<UpdateFunctionRequest>("application/json").Produces<FunctionView>().Refuses(400, 404, 408, 412, 413, 415, 429);
        group.MapPut("{name}/code", UpdateCodeAsync).WithMetadata(new AcceptsZip()).WithName("updateFunctionCode")
            .WithSummary("Replace the code; a JSON object or a raw zip")
            .Accepts<UpdateCodeRequest>("application/json", "application/zip").Produces<FunctionView>().Refuses(400, 404, 408, 412, 413, 415, 429);
        group.MapGet("{name}/code", DownloadAsync).WithName("downloadFunctionCode").WithSummary("Download the deployed zip")
            .Produces(200, contentType: "application/zip").Produces(304).Refuses(400, 404, 503);
        group.MapDelete("{name}", DeleteAsync).WithName("deleteFunction").WithSummary("Delete a function, or one version of it")
            .Produces(204).Refuses(400, 404, 409);
    }

    /// <summary>Adds the problem answers to an endpoint's description.</summary>
    public static RouteHandlerBuilder Refuses(this RouteHandlerBuilder builder, params int[] statuses)
    {
        foreach (var status in statuses)
        {
            builder.Produces<Problem>(status, "application/problem+json");
        }

        return builder;
    }

    private static async Task<IResult> CreateAsync(
        HttpContext http, FunctionService functions, PackagesOptions limits, UploadGate gate, CancellationToken cancellationToken)
    {
        using var slot = await gate.EnterAsync(http.Request.ContentLength, cancellationToken);
        var request = await RequestBody.ReadJsonAsync(
            http, FlintJson.Default.CreateFunctionRequest, MaxJsonWithCode(limits), CodeKnob, cancellationToken);
        var view = await functions.CreateAsync(Tenants.Default, request, cancellationToken);
        return Answer.Function(http, view, $"/api/functions/{view.Name}");
    }

    private static async Task<IResult> ListAsync(
        FunctionService functions, string? search, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await functions.ListAsync(Tenants.Default, search, PageRequest.Parse(limit, cursor), cancellationToken),
            FlintJson.Default.PageFunctionView);

    private static async Task<IResult> GetAsync(
        HttpContext http, FunctionService functions, string name, string? qualifier, CancellationToken cancellationToken) =>
        Answer.Function(http, await functions.GetAsync(Tenants.Default, name, qualifier, cancellationToken));

    private static async Task<IResult> UpdateAsync(HttpContext http, FunctionService functions, string name, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(
            http, FlintJson.Default.UpdateFunctionRequest, SettingsBytes, "Flint:Functions:MaxEnvironmentBytes", cancellationToken);
        return Answer.Function(http, await functions.UpdateAsync(Tenants.Default, name, request, Answer.IfMatch(http), cancellationToken));
    }

    private static async Task<IResult> UpdateCodeAsync(
        HttpContext http, FunctionService functions, PackageService packages, PackagesOptions limits, UploadGate gate, BodyBudget bodies,
        string name, CancellationToken cancellationToken)
    {
        using var slot = await gate.EnterAsync(http.Request.ContentLength, cancellationToken);
        if (RequestProtection.IsMedia(http.Request.ContentType, "application/zip"))
        {
            using var zip = await RequestBody.ReadAsync(http, bodies, limits.MaxZipBytes, "zip_too_large", CodeKnob, cancellationToken);
            await SocketThreads.Leave();
            return Answer.Function(http,
                await functions.UpdateCodeAsync(Tenants.Default, name, Answer.IfMatch(http), _ => zip.Bytes, "body", cancellationToken));
        }

        var request = await RequestBody.ReadJsonAsync(http, FlintJson.Default.UpdateCodeRequest, MaxJsonWithCode(limits), CodeKnob, cancellationToken);
        return Answer.Function(http, await functions.UpdateCodeAsync(Tenants.Default, name, request.RevisionId ?? Answer.IfMatch(http),
            function => packages.FromSource(request.Inline, request.Zip, function.Runtime, function.Handler, "body"),
            request.Zip is null ? "inline" : "zip", cancellationToken));
    }

    private static async Task<IResult> DownloadAsync(
        HttpContext http, FunctionService functions, PackageService packages, string name, string? qualifier, CancellationToken cancellationToken)
    {
        var view = await functions.GetAsync(Tenants.Default, name, qualifier, cancellationToken);
        var tag = $"\"{view.CodeSha256}\"";
        http.Response.Headers.ETag = tag;
        http.Response.Headers.XContentTypeOptions = "nosniff";
        if (http.Request.Headers.IfNoneMatch.Contains(tag))
        {
            return Results.StatusCode(StatusCodes.Status304NotModified);
        }

        var stream = await packages.OpenAsync(Tenants.Default, view.CodeSha256, cancellationToken)
            ?? throw new CodeMissingException($"The store has no code {view.CodeSha256} of function {name}.");
        var version = view.Version == Names.Latest ? "latest" : view.Version;
        return Results.File(stream, "application/zip", $"{view.Name}-{version}.zip");
    }

    private static async Task<IResult> DeleteAsync(
        FunctionService functions, string name, string? qualifier, CancellationToken cancellationToken)
    {
        await functions.DeleteAsync(Tenants.Default, name, qualifier, cancellationToken);
        return Results.NoContent();
    }

    /// <summary>The largest zip in base64, or the largest inline code with every character escaped, and the other members.</summary>
    private static long MaxJsonWithCode(PackagesOptions limits) =>
        Math.Max((limits.MaxZipBytes + 2) / 3 * 4, limits.MaxInlineBytes * 6L) + SettingsBytes;
}

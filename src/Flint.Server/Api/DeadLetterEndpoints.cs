using Flint.Contracts;
using Flint.Contracts.DeadLetters;
using Flint.Contracts.Invocations;
using Flint.Server.Queue.DeadLetters;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Dead letters: list, show, redrive and remove.</summary>
internal static class DeadLetterEndpoints
{
    public static void MapDeadLetters(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/dead-letters").WithTags("Dead letters");
        group.MapGet("", ListsAsync).WithName("listDeadLetterLists").WithSummary("The dead-letter lists that have entries, with their counts").Produces<DeadLetterListsView>();
        group.MapGet("{list}", PageAsync).WithName("listDeadLetters").WithSummary("List a dead-letter list's entries, newest first").Produces<Page<DeadLetterView>>().Refuses(400);
        group.MapGet("{list}/{id}", GetAsync).WithName("getDeadLetter").WithSummary("Get an entry's record, with its event and log").Produces<InvocationRecord>().Refuses(400, 404);
        group.MapPost("{list}/{id}/redrive", RedriveAsync).WithName("redriveDeadLetter").WithSummary("Queue the same work under a new id and remove the entry")
            .Produces<AcceptedInvocation>(202).Refuses(400, 404, 409, 429);
        group.MapPost("{list}/redrive", RedriveAllAsync).WithName("redriveDeadLetters")
            .WithSummary("Redrive the oldest entries: limit of them, 100 unless given, at most 1000; with nextCursor as cursor it goes on").Produces<RedriveAnswer>().Refuses(400, 429);
        group.MapDelete("{list}/{id}", DeleteAsync).WithName("deleteDeadLetter").WithSummary("Remove an entry; its record stays").Produces(204).Refuses(400, 404);
        group.MapDelete("{list}", PurgeAsync).WithName("purgeDeadLetters").WithSummary("Remove all entries that are there now; their records stay").Produces<PurgeAnswer>().Refuses(400);
    }

    private static async Task<IResult> ListsAsync(DeadLetterService letters, CancellationToken cancellationToken) =>
        Answer.Json(await letters.ListsAsync(Tenants.Default, cancellationToken), FlintJson.Default.DeadLetterListsView);

    private static async Task<IResult> PageAsync(DeadLetterService letters, string list, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await letters.PageAsync(Tenants.Default, list, PageRequest.Parse(limit, cursor), cancellationToken), FlintJson.Default.PageDeadLetterView);

    private static async Task GetAsync(HttpContext http, DeadLetterService letters, JsonBuffers buffers, string list, string id, CancellationToken cancellationToken) =>
        await InvocationEndpoints.SendAsync(http, await letters.GetAsync(Tenants.Default, list, id, cancellationToken), buffers);

    private static async Task<IResult> RedriveAsync(HttpContext http, DeadLetterService letters, string list, string id, CancellationToken cancellationToken) =>
        Answer.Accepted(http, await letters.RedriveAsync(Tenants.Default, list, id, cancellationToken));

    private static async Task<IResult> RedriveAllAsync(DeadLetterService letters, string list, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await letters.RedriveAllAsync(Tenants.Default, list, limit, cursor, cancellationToken), FlintJson.Default.RedriveAnswer);

    private static async Task<IResult> DeleteAsync(DeadLetterService letters, string list, string id, CancellationToken cancellationToken)
    {
        await letters.DeleteAsync(Tenants.Default, list, id, cancellationToken);
        return Results.NoContent();
    }

    private static async Task<IResult> PurgeAsync(DeadLetterService letters, string list, CancellationToken cancellationToken) =>
        Answer.Json(await letters.PurgeAsync(Tenants.Default, list, cancellationToken), FlintJson.Default.PurgeAnswer);
}

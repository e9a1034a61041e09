using Flint.Contracts;
using Flint.Contracts.Invocations;
using Flint.Contracts.Schedules;
using Flint.Server.Queue.Schedules;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Create, list, get, change, delete, run and preview schedules.</summary>
internal static class ScheduleEndpoints
{
    /// <summary>The largest payload that may be configured, and the rest.</summary>
    private const long BodyBytes = 8 * 1024 * 1024;

    public static void MapSchedules(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/schedules").WithTags("Schedules");
        group.MapPost("", CreateAsync).WithName("createSchedule").WithSummary("Run a function or a job again and again")
            .Accepts<CreateScheduleRequest>("application/json").Produces<ScheduleView>(201).Refuses(400, 404, 409, 413, 415);
        group.MapGet("", ListAsync).WithName("listSchedules").WithSummary("List schedules by name; of one function, if it is given").Produces<Page<ScheduleView>>().Refuses(400);
        group.MapGet("{name}", GetAsync).WithName("getSchedule").WithSummary("Get a schedule").Produces<ScheduleView>().Refuses(404);
        group.MapPatch("{name}", UpdateAsync).WithName("updateSchedule").WithSummary("Change a schedule; what is not given stays")
            .Accepts<UpdateScheduleRequest>("application/json").Produces<ScheduleView>().Refuses(400, 404, 412, 413, 415);
        group.MapDelete("{name}", DeleteAsync).WithName("deleteSchedule").WithSummary("Delete a schedule; what it has queued stays").Produces(204).Refuses(404);
        group.MapPost("{name}/run", RunAsync).WithName("runSchedule").WithSummary("Queue one more run now")
            .Produces<AcceptedInvocation>(202).Refuses(404);
        group.MapGet("{name}/next", NextAsync).WithName("previewSchedule").WithSummary("The due times that come next: count of them, 5 unless given, at most 100")
            .Produces<DueTimesView>().Refuses(400, 404);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, ScheduleService schedules, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(http, FlintJson.Default.CreateScheduleRequest, BodyBytes, null, cancellationToken);
        var view = await schedules.CreateAsync(Tenants.Default, request, cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.ScheduleView, view.RevisionId, $"/api/schedules/{view.Name}");
    }

    private static async Task<IResult> ListAsync(ScheduleService schedules, string? function, string? limit, string? cursor, CancellationToken cancellationToken) =>
        Answer.Json(await schedules.ListAsync(Tenants.Default, function, PageRequest.Parse(limit, cursor), cancellationToken), FlintJson.Default.PageScheduleView);

    private static async Task<IResult> GetAsync(HttpContext http, ScheduleService schedules, string name, CancellationToken cancellationToken)
    {
        var view = await schedules.GetAsync(Tenants.Default, name, cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.ScheduleView, view.RevisionId);
    }

    private static async Task<IResult> UpdateAsync(HttpContext http, ScheduleService schedules, string name, CancellationToken cancellationToken)
    {
        var request = await RequestBody.ReadJsonAsync(http, FlintJson.Default.UpdateScheduleRequest, BodyBytes, null, cancellationToken);
        var view = await schedules.UpdateAsync(Tenants.Default, name, request, Answer.IfMatch(http), cancellationToken);
        return Answer.Revision(http, view, FlintJson.Default.ScheduleView, view.RevisionId);
    }

    private static async Task<IResult> DeleteAsync(ScheduleService schedules, string name, CancellationToken cancellationToken)
    {
        await schedules.DeleteAsync(Tenants.Default, name, cancellationToken);
        return Results.NoContent();
    }

    private static async Task<IResult> RunAsync(HttpContext http, ScheduleService schedules, string name, CancellationToken cancellationToken) =>
        Answer.Accepted(http, await schedules.RunAsync(Tenants.Default, name, cancellationToken));

    private static async Task<IResult> NextAsync(ScheduleService schedules, string name, string? count, CancellationToken cancellationToken) =>
        Answer.Json(await schedules.PreviewAsync(Tenants.Default, name, count, cancellationToken), FlintJson.Default.DueTimesView);
}

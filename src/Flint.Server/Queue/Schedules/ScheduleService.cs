using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Invocations;
using Flint.Contracts.Schedules;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Server.Services;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Queue.Schedules;

/// <summary>Schedules: validation and one transaction per change; the ticker is woken after the commit. Thread-safe.</summary>
internal sealed class ScheduleService(
    ICatalogStore store, QueueWriter queue, QueueRoom room, ScheduleRules rules, ScheduleTargets targets, ScheduleTicker ticker, ScheduleOptions options, TimeProvider time)
{
    private const int MostPreviewed = 100;

    public async Task<ScheduleView> CreateAsync(string tenantId, CreateScheduleRequest request, CancellationToken cancellationToken)
    {
        var schedule = rules.Create(request, tenantId, time.Now());
        await targets.CheckAsync(schedule, cancellationToken).ConfigureAwait(false);
        try
        {
            await store.WriteAsync(async (db, token) =>
            {
                if (await db.Schedules.CountAsync(s => s.TenantId == tenantId, token) >= options.MaxCount)
                {
                    throw new RefusedException("schedule_limit", "There are as many schedules as there may be.", limit: $"{options.MaxCount} schedules", knob: "Flint:Schedules:MaxCount");
                }

                db.Schedules.Add(schedule);
                return await db.SaveChangesAsync(token);
            }, cancellationToken).ConfigureAwait(false);
        }
        catch (UniqueKeyException)
        {
            throw new RefusedException("schedule_exists", "There is a schedule of this name already.", field: "name");
        }

        ticker.Wake();
        return View(schedule);
    }

    public Task<Page<ScheduleView>> ListAsync(string tenantId, string? function, PageRequest page, CancellationToken cancellationToken)
    {
        var wanted = string.IsNullOrEmpty(function) ? null : Names.CheckFunction(function);
        return store.ReadAsync(async (db, token) =>
        {
            var query = db.Schedules.Where(s => s.TenantId == tenantId);
            if (page.After is { } after)
            {
                query = query.Where(s => string.Compare(s.Name, after) > 0);
            }

            if (wanted is not null)
            {
                query = query.Where(s => s.FunctionName == wanted);
            }

            var rows = await query.OrderBy(s => s.Name).Take(page.Limit + 1).ToListAsync(token);
            return page.Cut(rows, View, s => s.Name);
        }, cancellationToken);
    }

    public Task<ScheduleView> GetAsync(string tenantId, string name, CancellationToken cancellationToken) =>
        store.ReadAsync(async (db, token) => View(await FindAsync(db, tenantId, name, token)), cancellationToken);

    public async Task<ScheduleView> UpdateAsync(string tenantId, string name, UpdateScheduleRequest request, string? ifMatch, CancellationToken cancellationToken)
    {
        try
        {
            if ((request.Function ?? request.Qualifier) is not null || request.Job is not null)
            {
                // What it will be is asked for before the transaction, which must do nothing else.
                var preview = await store.ReadAsync((db, token) => FindAsync(db, tenantId, name, token), cancellationToken).ConfigureAwait(false);
                rules.Apply(preview, request, time.Now());
                await targets.CheckAsync(preview, cancellationToken).ConfigureAwait(false);
            }

            var view = await store.WriteAsync(async (db, token) =>
            {
                var schedule = await FindAsync(db, tenantId, name, token);
                Revisions.Check(request.RevisionId ?? ifMatch, schedule.RevisionId);
                rules.Apply(schedule, request, time.Now());
                await db.SaveChangesAsync(token);
                return View(schedule);
            }, cancellationToken).ConfigureAwait(false);
            ticker.Wake();
            return view;
        }
        catch (DbUpdateConcurrencyException)
        {
            throw Revisions.Mismatch();
        }
    }

    /// <summary>What it has enqueued stays.</summary>
    public async Task DeleteAsync(string tenantId, string name, CancellationToken cancellationToken)
    {
        var deleted = await store.WriteAsync(
            (db, token) => db.Schedules.Where(s => s.TenantId == tenantId && s.Name == name).ExecuteDeleteAsync(token), cancellationToken).ConfigureAwait(false);
        if (deleted == 0)
        {
            throw NotFound();
        }
    }

    /// <summary>One more run, now, whether it is enabled or not. Its due times stay as they are.</summary>
    public async Task<AcceptedInvocation> RunAsync(string tenantId, string name, CancellationToken cancellationToken)
    {
        var schedule = await store.ReadAsync((db, token) => FindAsync(db, tenantId, name, token), cancellationToken).ConfigureAwait(false);
        await targets.CheckAsync(schedule, cancellationToken).ConfigureAwait(false);
        var (entry, error) = await targets.MakeAsync(schedule, null, cancellationToken).ConfigureAwait(false);
        if (entry is null)
        {
            throw new RefusedException("invalid_field", error!, field: "job");
        }

        await room.TakeAsync(tenantId, 1, cancellationToken).ConfigureAwait(false);
        await queue.EnqueueAsync(entry, cancellationToken).ConfigureAwait(false);
        return Functions.AsyncInvocations.Accepted(entry.Row);
    }

    /// <summary>The next due times, as if it were enabled.</summary>
    public async Task<DueTimesView> PreviewAsync(string tenantId, string name, string? count, CancellationToken cancellationToken)
    {
        var most = 5;
        if (!string.IsNullOrEmpty(count)
            && (!int.TryParse(count, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out most) || most is < 1 or > MostPreviewed))
        {
            throw new RefusedException("invalid_field", $"count must be 1 to {MostPreviewed}.", field: "count", limit: $"1 to {MostPreviewed}");
        }

        var schedule = await store.ReadAsync((db, token) => FindAsync(db, tenantId, name, token), cancellationToken).ConfigureAwait(false);
        var now = time.Now();
        var recurrence = Recurrence.Of(schedule, now);
        var times = new List<DateTimeOffset>(most);
        for (var next = recurrence.Next(now); next is { } due && times.Count < most; next = recurrence.Next(due))
        {
            times.Add(due);
        }

        return new DueTimesView(times);
    }

    private static async Task<ScheduleEntity> FindAsync(FlintDbContext db, string tenantId, string name, CancellationToken cancellationToken) =>
        await db.Schedules.SingleOrDefaultAsync(s => s.TenantId == tenantId && s.Name == name, cancellationToken).ConfigureAwait(false) ?? throw NotFound();

    private static RefusedException NotFound() => new("schedule_not_found", "There is no schedule of this name.", field: "name");

    private static ScheduleView View(ScheduleEntity s) => new()
    {
        Name = s.Name,
        Description = s.Description,
        Expression = s.Expression,
        RateMs = s.RateMs,
        TimeZone = s.TimeZone,
        Function = s.FunctionName,
        Qualifier = s.Qualifier,
        Payload = s.PayloadJson is { } payload ? JsonElement.Parse(payload) : null,
        Job = s.JobJson is { } job ? JsonElement.Parse(job) : null,
        Enabled = s.Enabled,
        MissedRuns = s.MissedRuns,
        NextAt = s.NextAt,
        LastAt = s.LastAt,
        LastInvocationId = s.LastInvocationId,
        LastError = s.LastError,
        RevisionId = s.RevisionId,
        CreatedAt = s.CreatedAt,
        UpdatedAt = s.UpdatedAt,
    };
}

using System.Globalization;
using Flint.Contracts.Host;
using Flint.Data;
using Flint.Data.Invocations;
using Flint.Runtime.Invocation;
using Flint.Runtime.Loops;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Observability;

/// <summary>Whether this server can do its work, part by part. Thread-safe.</summary>
internal sealed class HealthService(
    IDatabase database, EngineRegistry engines, EngineReports reports, Dispatcher dispatcher, InvocationJournal journal,
    SandboxJanitor janitor, IEnumerable<BackgroundLoop> loops)
{
    private const string Ok = "ok", Degraded = "degraded", Failed = "failed";

    /// <summary>A hundred times the window in which records are written by default.</summary>
    private static readonly TimeSpan LagPatience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan PingPatience = TimeSpan.FromSeconds(2);

    public async Task<HealthView> CheckAsync(CancellationToken cancellationToken)
    {
        List<HealthCheckView> checks = [await StoreAsync(cancellationToken), .. await EnginesAsync(cancellationToken)];
        checks.Add(new HealthCheckView("invocations", Ok, $"{dispatcher.InFlight} in flight", null));
        checks.Add(History(journal.State));
        checks.Add(Sandboxes(janitor.Leftover));
        checks.AddRange(loops.Select(Loop));
        var works = checks[0].Status == Ok && engines.Engines.Any(engine => engine.Unavailable is null);
        return new HealthView(works ? "ready" : "unready", checks);
    }

    private async Task<HealthCheckView> StoreAsync(CancellationToken cancellationToken)
    {
        try
        {
            await database.PingAsync(cancellationToken).WaitAsync(PingPatience, cancellationToken);
            return new HealthCheckView("store", Ok, database.Provider, null);
        }
        catch (Exception exception) when (exception is DatabaseException or TimeoutException)
        {
            return new HealthCheckView("store", Failed, $"{database.Provider}: {exception.Message}", null);
        }
    }

    private async Task<IEnumerable<HealthCheckView>> EnginesAsync(CancellationToken cancellationToken)
    {
        var found = await reports.GetAsync(cancellationToken);
        return engines.Engines.Select(engine =>
        {
            var report = found.FirstOrDefault(report => report.Engine == engine.Name);
            var findings = report?.Findings.Select(f => new FindingView(f.What, f.Why, f.Fix, f.Blocking ? "blocking" : "advice")).ToArray() ?? [];
            var status = engine.Unavailable is not null ? Failed : findings.Length > 0 ? Degraded : Ok;
            return new HealthCheckView($"engine:{engine.Name}", status, engine.Unavailable ?? report?.Summary, findings.Length == 0 ? null : findings);
        });
    }

    /// <summary>Degraded while the store fails, and also when it is merely far behind: what is not written is lost with the process.</summary>
    private static HealthCheckView History(JournalState state)
    {
        var lag = string.Create(CultureInfo.InvariantCulture, $"{state.Rows} records not written yet, the oldest for {(long)state.OldestAge.TotalMilliseconds} ms");
        return new HealthCheckView("history", state.LastError is null && state.OldestAge < LagPatience ? Ok : Degraded,
            state.LastError is null ? lag : $"{lag}; the last write failed: {state.LastError}", null);
    }

    private static HealthCheckView Sandboxes(int leftover) => leftover == 0
        ? new HealthCheckView("sandboxes", Ok, null, null)
        : new HealthCheckView("sandboxes", Degraded, $"{leftover} could not be removed yet; removal is tried again", null);

    private static HealthCheckView Loop(BackgroundLoop loop) =>
        new($"loop:{loop.State.Name}", loop.State.LastError is null ? Ok : Degraded, loop.State.LastError, null);
}

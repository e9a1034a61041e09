using System.Collections.Concurrent;
using System.Collections.Immutable;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.Server.Hosting;
using Flint.Server.Packages;
using Flint.Server.Queue.Functions;

namespace Flint.Server.Services;

/// <summary>What an invocation needs to know of a function: the frozen spec, and what only the server acts upon.</summary>
internal sealed record CatalogEntry(FunctionSpec Spec, bool StrictHistory, AsyncRules Async, long LoadedAt);

/// <summary>
/// Name and qualifier to the frozen spec, from memory on the hot path. A change on this server shows at once; one on another server within
/// <c>refreshAfter</c>, which is infinite where this server is the only one. Thread-safe.
/// </summary>
internal sealed class FunctionCatalog(ICatalogStore store, CodeCache code, TimeProvider time, TimeSpan refreshAfter)
{
    /// <summary>Bounds memory; far beyond what one server keeps warm.</summary>
    private const int MaxEntries = 20_000;

    private readonly ConcurrentDictionary<(string Tenant, string Name, string Qualifier), CatalogEntry> _entries = new();

    /// <summary>Counts invalidations: what was read before one and arrives after it is not kept.</summary>
    private long _generation;

    /// <summary>Throws <see cref="RefusedException"/> (404) when there is no such function, version or alias.</summary>
    public ValueTask<CatalogEntry> ResolveAsync(string tenantId, string name, string? qualifier, CancellationToken cancellationToken)
    {
        var key = (tenantId, name, qualifier ?? Names.Latest);
        return _entries.TryGetValue(key, out var entry) && IsCurrent(entry) ? new(entry) : new(LoadAsync(key, cancellationToken));
    }

    /// <summary>Forgets a function in all its versions. Called after the change was committed.</summary>
    public void Invalidate(string tenantId, string name)
    {
        Interlocked.Increment(ref _generation);
        foreach (var key in _entries.Keys)
        {
            if (key.Tenant == tenantId && key.Name == name)
            {
                _entries.TryRemove(key, out _);
            }
        }
    }

    /// <summary>The unpacked code that the entries in memory name.</summary>
    public HashSet<string> CodeDirectories() => [.. _entries.Values.Select(entry => entry.Spec.CodeDirectory)];

    private bool IsCurrent(CatalogEntry entry) => refreshAfter == Timeout.InfiniteTimeSpan || time.GetElapsedTime(entry.LoadedAt) < refreshAfter;

    private async Task<CatalogEntry> LoadAsync((string Tenant, string Name, string Qualifier) key, CancellationToken cancellationToken)
    {
        // Reading the catalog may block.
        await SocketThreads.Leave();
        var generation = Interlocked.Read(ref _generation);
        var loadedAt = time.GetTimestamp();
        var (function, version) = await store.ReadAsync(async (db, token) =>
        {
            var found = await FunctionService.FindAsync(db, key.Tenant, key.Name, token);
            return (found, await FunctionService.FindVersionAsync(db, found, key.Qualifier, token));
        }, cancellationToken).ConfigureAwait(false);

        var spec = await FreezeAsync(function, version, cancellationToken).ConfigureAwait(false);
        if (_entries.TryGetValue(key, out var known) && known.Spec.Key == spec.Key)
        {
            // The same revision: the same object, so that nobody compares what did not change.
            spec = known.Spec;
        }

        FunctionSettings settings = version is null ? function : version;
        var entry = new CatalogEntry(spec, settings.History == "strict", AsyncRules.Parse(settings.AsyncJson), loadedAt);
        if (Interlocked.Read(ref _generation) == generation)
        {
            if (_entries.Count >= MaxEntries)
            {
                _entries.Clear();
            }

            _entries[key] = entry;
        }

        return entry;
    }

    private async Task<FunctionSpec> FreezeAsync(FunctionEntity function, FunctionVersionEntity? version, CancellationToken cancellationToken)
    {
        FunctionSettings settings = version is null ? function : version;
        return new FunctionSpec
        {
            TenantId = function.TenantId,
            FunctionId = function.Id,
            Name = function.Name,
            Version = version?.Number.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? Names.Latest,
            Revision = version?.RevisionId ?? function.RevisionId,
            Runtime = settings.Runtime,
            Handler = settings.Handler,
            CodeDirectory = await code.EnsureAsync(function.TenantId, settings.CodeSha256, cancellationToken).ConfigureAwait(false),
            MemoryMb = settings.MemoryMb,
            TimeoutMs = settings.TimeoutMs,
            TmpMb = settings.TmpMb,
            Environment = Views.Environment(settings.EnvironmentJson).ToImmutableSortedDictionary(StringComparer.Ordinal),
            Freshness = settings.Freshness switch
            {
                "snapshot" => Freshness.Snapshot,
                "fresh" => Freshness.Fresh,
                _ => Freshness.Warm,
            },
            Start = settings.Start == "exec" ? StartMode.Exec : StartMode.Zygote,
            Network = settings.Network == "egress" ? NetworkAccess.Egress : NetworkAccess.None,
            Engine = settings.Engine,
            CancelOnDisconnect = settings.OnDisconnect == "cancel",
        };
    }
}

using Flint.Data.Blobs;
using Flint.Data.Invocations;
using Microsoft.Extensions.DependencyInjection;

namespace Flint.Server.Tests.Support;

internal static class Decoration
{
    /// <summary>Puts something of the test's own around a registered service.</summary>
    public static void Decorate<T>(this IServiceCollection services, Func<T, T> wrap) where T : class
    {
        var inner = services.Last(service => service.ServiceType == typeof(T));
        services.Remove(inner);
        services.AddSingleton(provider => wrap((T)(inner.ImplementationFactory?.Invoke(provider)
            ?? ActivatorUtilities.CreateInstance(provider, inner.ImplementationType!))));
    }
}

/// <summary>The real clock, which a test can move ahead. Timers keep real time.</summary>
internal sealed class ShiftedTime : TimeProvider
{
    private long _ahead;

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ahead, by.Ticks);

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddTicks(Interlocked.Read(ref _ahead));

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => System.GetElapsedTime(0, System.GetTimestamp()).Ticks + Interlocked.Read(ref _ahead);
}

/// <summary>History's store with hooks before it writes.</summary>
internal sealed class HookedInvocations(IInvocationStore inner) : IInvocationStore
{
    public Func<Task> BeforeAppend { get; set; } = () => Task.CompletedTask;

    public async Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken)
    {
        await BeforeAppend();
        await inner.AppendAsync(rows, cancellationToken);
    }

    public Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken) => inner.GetAsync(tenantId, id, cancellationToken);

    public Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken) => inner.ListAsync(query, cancellationToken);

    public Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken) =>
        inner.PruneAsync(retention, now, pageSize, cancellationToken);
}

/// <summary>The blob store with hooks before it reads and deletes.</summary>
internal sealed class HookedBlobs(IBlobStore inner) : IBlobStore
{
    private int _opens;

    public int Opens => _opens;

    public Func<Task> BeforeOpen { get; set; } = () => Task.CompletedTask;

    public Func<Task> BeforeDelete { get; set; } = () => Task.CompletedTask;

    /// <summary>What readers get instead of the stored bytes.</summary>
    public Func<Stream?, Stream?> Opened { get; set; } = stream => stream;

    public Task PutAsync(string tenantId, string sha256, ReadOnlyMemory<byte> content, CancellationToken cancellationToken) =>
        inner.PutAsync(tenantId, sha256, content, cancellationToken);

    public async Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _opens);
        await BeforeOpen();
        return Opened(await inner.OpenAsync(tenantId, sha256, cancellationToken));
    }

    public async Task DeleteAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        await BeforeDelete();
        await inner.DeleteAsync(tenantId, sha256, cancellationToken);
    }
}

using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Services;

namespace Flint.Server.Queue.Functions;

/// <summary>Makes the queue entries of functions' asynchronous invocations. Pure.</summary>
internal static class FunctionEntries
{
    /// <summary>With the function's own rules, in its lane.</summary>
    /// <param name="function">As it is now; an alias is followed again when the invocation begins.</param>
    /// <param name="qualifier">What was asked for.</param>
    /// <param name="id">Made from <paramref name="createdAt"/>.</param>
    /// <param name="payload">The event: JSON.</param>
    /// <param name="depth">How many destinations led here.</param>
    public static QueueEntry Make(CatalogEntry function, string? qualifier, string id, DateTimeOffset createdAt, ReadOnlyMemory<byte> payload, int depth = 0)
    {
        var spec = function.Spec;
        return new QueueEntry
        {
            Row = new InvocationRow
            {
                TenantId = spec.TenantId,
                Id = id,
                FunctionId = spec.FunctionId,
                FunctionName = spec.Name,
                Version = spec.Version,
                Qualifier = qualifier,
                Mode = "async",
                Status = "PENDING",
                CreatedAt = Times.ToMilliseconds(createdAt),
                MemoryMb = spec.MemoryMb,
                Engine = spec.Engine,
                Payload = payload,
            },
            WorkJson = function.Async.Work(new FunctionWork(spec.Name, qualifier), depth).ToJson(),
            Lane = Lanes.OfFunction(spec.FunctionId),
        };
    }

    /// <summary>Of a function that is not there, or that nobody could look up: its record will say so, unless it is there when the invocation begins.</summary>
    public static QueueEntry MakeUnresolved(string tenantId, FunctionWork function, string id, DateTimeOffset createdAt, ReadOnlyMemory<byte> payload, int depth = 0) => new()
    {
        Row = new InvocationRow
        {
            TenantId = tenantId,
            Id = id,
            FunctionId = "",
            FunctionName = function.Name,
            Version = Names.IsVersion(function.Qualifier ?? "") ? function.Qualifier! : Names.Latest,
            Qualifier = function.Qualifier,
            Mode = "async",
            Status = "PENDING",
            CreatedAt = Times.ToMilliseconds(createdAt),
            Payload = payload,
        },
        WorkJson = AsyncRules.Default.Work(function, depth).ToJson(),
        Lane = Lanes.OfFunction(function.Name),
    };
}

using Flint.Contracts.Invocations;
using Flint.Data.Invocations;

namespace Flint.Server.Queue.Functions;

/// <summary>Asynchronous invocations of functions.</summary>
internal static class AsyncInvocations
{
    /// <summary>What was queued, as its caller is told.</summary>
    public static AcceptedInvocation Accepted(InvocationRow row) => new()
    {
        Id = row.Id,
        Function = row.FunctionName.Length == 0 ? null : row.FunctionName,
        Version = row.Version.Length == 0 ? null : row.Version,
        Qualifier = row.Qualifier,
        Mode = row.Mode,
        Status = row.Status,
        CreatedAt = row.CreatedAt,
    };
}

using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Data.Model;
using Flint.Server.Queue.Functions;

namespace Flint.Server.Services;

/// <summary>Entities as clients see them.</summary>
internal static class Views
{
    public static FunctionView Of(FunctionEntity f) => Settings(f, f.Name, Names.Latest, f.RevisionId, f.CreatedAt, f.UpdatedAt)
        with
    { LastVersion = f.LastVersion == 0 ? null : f.LastVersion };

    public static FunctionView Of(FunctionEntity f, FunctionVersionEntity v) =>
        Settings(v, f.Name, v.Number.ToString(System.Globalization.CultureInfo.InvariantCulture), v.RevisionId, v.CreatedAt, v.CreatedAt);

    public static VersionView Version(string functionName, FunctionVersionEntity v) => new()
    {
        FunctionName = functionName,
        Version = v.Number,
        Description = v.Description,
        Runtime = v.Runtime,
        Handler = v.Handler,
        CodeSha256 = v.CodeSha256,
        CodeSizeBytes = v.CodeSizeBytes,
        RevisionId = v.RevisionId,
        CreatedAt = v.CreatedAt,
    };

    public static AliasView Of(string functionName, AliasEntity a) => new()
    {
        Name = a.Name,
        FunctionName = functionName,
        Version = a.VersionNumber,
        Description = a.Description,
        RevisionId = a.RevisionId,
        CreatedAt = a.CreatedAt,
        UpdatedAt = a.UpdatedAt,
    };

    public static Dictionary<string, string> Environment(string json) =>
        JsonSerializer.Deserialize(json, FlintJson.Default.DictionaryStringString) ?? [];

    private static FunctionView Settings(
        FunctionSettings s, string name, string version, string revisionId, DateTimeOffset createdAt, DateTimeOffset updatedAt) => new()
        {
            Name = name,
            Version = version,
            Runtime = s.Runtime,
            Handler = s.Handler,
            Description = s.Description,
            MemoryMb = s.MemoryMb,
            TimeoutMs = s.TimeoutMs,
            TmpMb = s.TmpMb,
            Environment = Environment(s.EnvironmentJson),
            Freshness = s.Freshness,
            Start = s.Start,
            Network = s.Network,
            Engine = s.Engine,
            OnDisconnect = s.OnDisconnect,
            History = s.History,
            Async = AsyncSettingsRules.View(AsyncRules.Parse(s.AsyncJson)),
            CodeSha256 = s.CodeSha256,
            CodeSizeBytes = s.CodeSizeBytes,
            RevisionId = revisionId,
            CreatedAt = createdAt,
            UpdatedAt = updatedAt,
        };
}

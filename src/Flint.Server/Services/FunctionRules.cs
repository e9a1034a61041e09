using System.Globalization;
using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Data.Model;
using Flint.Server.Hosting;
using Flint.Server.Queue.Functions;

namespace Flint.Server.Services;

/// <summary>Checks a function's settings and writes them into an entity. All refusals name the member, the limit and its knob.</summary>
internal sealed class FunctionRules(FunctionLimitOptions limits, EngineDirectory engines, AsyncSettingsRules asyncRules)
{
    public const int DefaultMemoryMb = 128;
    public const int DefaultTimeoutMs = 3000;
    public const int DefaultTmpMb = 512;
    public const int MaxDescription = 256;

    /// <summary>The settings of a new function; no code yet.</summary>
    public FunctionEntity Create(CreateFunctionRequest request, string tenantId, string id, DateTimeOffset now)
    {
        var name = Names.CheckFunction(request.Name);
        var engine = engines.CheckEngine(request.Engine);
        var runtime = engines.CheckRuntime(request.Runtime, engine);
        Handlers.Check(runtime, request.Handler ?? throw Missing("handler"));
        var (freshness, start, network) = Sandbox(request.Freshness ?? "warm", request.Start ?? "zygote", request.Network ?? "none", engine);
        var environment = request.Environment ?? new Dictionary<string, string>();
        var function = new FunctionEntity
        {
            TenantId = tenantId,
            Id = id,
            Name = name,
            RevisionId = Guid.NewGuid().ToString("d"),
            Runtime = runtime,
            Handler = request.Handler,
            Engine = engine,
            Description = Description(request.Description ?? ""),
            MemoryMb = Memory(request.MemoryMb ?? DefaultMemoryMb),
            TimeoutMs = Timeout(request.TimeoutMs ?? Math.Min(DefaultTimeoutMs, limits.MaxTimeoutMs)),
            TmpMb = Tmp(request.TmpMb ?? Math.Min(DefaultTmpMb, limits.MaxTmpMb)),
            EnvironmentJson = Environment(environment),
            Freshness = freshness,
            Start = start,
            Network = network,
            OnDisconnect = Word("onDisconnect", request.OnDisconnect ?? "continue", "continue", "cancel"),
            History = Word("history", request.History ?? "buffered", "buffered", "strict"),
            AsyncJson = request.Async is { } settings ? asyncRules.Make(settings, AsyncRules.Default).ToJson() : "{}",
            CodeSha256 = "",
            CreatedAt = now,
            UpdatedAt = now,
        };
        CheckBootVariables(function, environment);
        return function;
    }

    /// <summary>Changes what the request gives. Pure: safe to run again within a retried transaction.</summary>
    public void Update(FunctionEntity function, UpdateFunctionRequest request)
    {
        if (request.Engine is not null || request.Runtime is not null)
        {
            function.Engine = engines.CheckEngine(request.Engine ?? function.Engine);
            function.Runtime = engines.CheckRuntime(request.Runtime ?? function.Runtime, function.Engine);
        }

        function.Handler = request.Handler ?? function.Handler;
        Handlers.Check(function.Runtime, function.Handler);
        function.Description = request.Description is { } description ? Description(description) : function.Description;
        function.MemoryMb = request.MemoryMb is { } memory ? Memory(memory) : function.MemoryMb;
        function.TimeoutMs = request.TimeoutMs is { } timeout ? Timeout(timeout) : function.TimeoutMs;
        function.TmpMb = request.TmpMb is { } tmp ? Tmp(tmp) : function.TmpMb;
        function.EnvironmentJson = request.Environment is { } environment ? Environment(environment) : function.EnvironmentJson;
        if ((request.Freshness ?? request.Start ?? request.Network ?? request.Engine) is not null)
        {
            // A host that has lost an ability refuses at the next invocation; changes of other settings stay possible meanwhile.
            (function.Freshness, function.Start, function.Network) = Sandbox(
                request.Freshness ?? function.Freshness, request.Start ?? function.Start, request.Network ?? function.Network, function.Engine);
        }

        if (request.Environment is not null || request.Freshness is not null || request.Runtime is not null || request.Engine is not null)
        {
            CheckBootVariables(function, JsonSerializer.Deserialize(function.EnvironmentJson, FlintJson.Default.DictionaryStringString)!);
        }

        function.OnDisconnect = request.OnDisconnect is { } disconnect ? Word("onDisconnect", disconnect, "continue", "cancel") : function.OnDisconnect;
        if (request.Async is { } settings)
        {
            function.AsyncJson = asyncRules.Make(settings, AsyncRules.Parse(function.AsyncJson)).ToJson();
        }

        function.History = request.History is { } history ? Word("history", history, "buffered", "strict") : function.History;
    }

    public static string Description(string text) =>
        text.Length <= MaxDescription && !text.Contains('\0')
            ? text
            : throw new RefusedException("invalid_field", $"A description has at most {MaxDescription} characters, and no NUL.",
                field: "description", limit: $"{MaxDescription} characters");

    public static RefusedException Missing(string field) => new("missing_field", $"The member {field} is required.", field: field);

    private int Memory(int value) => Range("memoryMb", value, 128, limits.MaxMemoryMb, "Flint:Functions:MaxMemoryMb");

    private int Timeout(int value) => Range("timeoutMs", value, 1, limits.MaxTimeoutMs, "Flint:Functions:MaxTimeoutMs");

    private int Tmp(int value) => Range("tmpMb", value, 16, limits.MaxTmpMb, "Flint:Functions:MaxTmpMb");

    private static int Range(string field, int value, int min, int max, string knob) =>
        value >= min && value <= max
            ? value
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"{field} is {value}; it must be {min} to {max}."),
                field: field, limit: string.Create(CultureInfo.InvariantCulture, $"{min} to {max}"), knob: knob);

    /// <summary>The settings that decide how sandboxes are made, checked together and against what the engine can do here.</summary>
    private (string Freshness, string Start, string Network) Sandbox(string freshness, string start, string network, string engine)
    {
        Word("freshness", freshness, "warm", "fresh", "snapshot");
        Word("start", start, "zygote", "exec");
        Word("network", network, "none", "egress");
        if (freshness == "snapshot")
        {
            if (start == "exec")
            {
                throw new RefusedException("invalid_field",
                    "freshness snapshot needs start zygote: only a process that was forked from a zygote can be kept and forked again.", field: "start");
            }

            engines.CheckSnapshot(engine);
        }

        if (network == "egress")
        {
            engines.CheckEgress(engine);
        }

        return (freshness, start, network);
    }

    private void CheckBootVariables(FunctionEntity function, IReadOnlyDictionary<string, string> environment)
    {
        if (function.Freshness == "snapshot")
        {
            engines.CheckSnapshotEnvironment(function.Engine, function.Runtime, environment);
        }
    }

    /// <summary>One of the words.</summary>
    public static string Word(string field, string value, params ReadOnlySpan<string> words) =>
        words.Contains(value)
            ? value
            : throw new RefusedException("invalid_field", $"{field} is '{Packages.EntryNames.Escape(value)}'; it must be one of: {string.Join(", ", words)}.",
                field: field, limit: string.Join(", ", words));

    /// <summary>Sorted, so that equal environments are equal text.</summary>
    private string Environment(IReadOnlyDictionary<string, string> variables)
    {
        EnvironmentRules.Check(variables, limits.MaxEnvironmentBytes);
        var sorted = new Dictionary<string, string>(variables.OrderBy(pair => pair.Key, StringComparer.Ordinal));
        return JsonSerializer.Serialize(sorted, FlintJson.Default.DictionaryStringString);
    }
}

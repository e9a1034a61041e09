using System.Text;
using Flint.Data.Invocations;
using Flint.Data.Model;

namespace Flint.Data.Tests;

/// <summary>Test data with every field set.</summary>
internal static class Rows
{
    public static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    public static InvocationRow Invocation(DateTimeOffset? at = null, string tenant = "default", string function = "hello", string status = "COMPLETED")
    {
        var created = at ?? Start;
        return new InvocationRow
        {
            TenantId = tenant,
            Id = Guid.CreateVersion7(created).ToString("D"),
            FunctionId = "0195-function",
            FunctionName = function,
            Version = "$LATEST",
            Qualifier = "live",
            Mode = "sync",
            Status = status,
            ErrorType = status == "FAILED" ? "Unhandled" : null,
            ErrorJson = status == "FAILED" ? """{"type":"Unhandled","name":"KeyError","message":"'a'","stackTrace":[]}""" : null,
            CreatedAt = created,
            StartedAt = created.AddMilliseconds(1),
            CompletedAt = status is "PENDING" or "RUNNING" ? null : created.AddMilliseconds(5),
            DurationMs = 3.25,
            InitDurationMs = 9.5,
            BilledMs = 4,
            MemoryMb = 128,
            PeakMemoryBytes = 12_345_678,
            ColdStart = false,
            Engine = "native",
            StartMode = "exec",
            StartReason = "NODE_OPTIONS needs an interpreter of its own",
            SandboxId = "s-1",
            Unenforced = "memory,pids",
            Payload = Encoding.UTF8.GetBytes("""{"n":1}"""),
            Result = Encoding.UTF8.GetBytes("""{"ok":true}"""),
            Log = Encoding.UTF8.GetBytes("""{"t":1,"s":"stdout","m":"hi"}""" + "\n"),
            LogDroppedLines = 2,
            LogDroppedBytes = 300,
        };
    }

    /// <summary>Newest last, one millisecond apart.</summary>
    public static List<InvocationRow> Invocations(int count, DateTimeOffset? from = null, string tenant = "default", string function = "hello") =>
        Enumerable.Range(0, count).Select(i => Invocation((from ?? Start).AddMilliseconds(i), tenant, function)).ToList();

    public static CodeBlobEntity Blob(string tenant = "default", string? sha256 = null) =>
        new() { TenantId = tenant, Sha256 = sha256 ?? Sha('a'), SizeBytes = 10, CreatedAt = Start };

    public static string Sha(char digit) => new(digit, 64);

    public static FunctionEntity Function(string name, string tenant = "default") => new()
    {
        TenantId = tenant,
        Id = Guid.CreateVersion7(Start).ToString("D"),
        Name = name,
        RevisionId = Guid.NewGuid().ToString("D"),
        Runtime = "python3.11",
        Handler = "main.handler",
        Description = "é ✓ 🙂",
        MemoryMb = 128,
        TimeoutMs = 3000,
        TmpMb = 512,
        EnvironmentJson = """{"A":"1"}""",
        Freshness = "warm",
        Start = "exec",
        Network = "egress",
        Engine = "native",
        OnDisconnect = "continue",
        History = "buffered",
        AsyncJson = """{"onFailure":null}""",
        CodeSha256 = Sha('a'),
        CodeSizeBytes = 10,
        CreatedAt = Start,
        UpdatedAt = Start.AddMinutes(1),
    };

    public static FunctionVersionEntity Version(FunctionEntity function, int number) => new()
    {
        TenantId = function.TenantId,
        FunctionId = function.Id,
        Number = number,
        RevisionId = Guid.NewGuid().ToString("D"),
        Runtime = function.Runtime,
        Handler = function.Handler,
        Freshness = function.Freshness,
        Start = function.Start,
        Network = function.Network,
        Engine = function.Engine,
        OnDisconnect = function.OnDisconnect,
        History = function.History,
        CodeSha256 = function.CodeSha256,
        CreatedAt = Start,
    };

    public static ScheduleEntity Schedule(string name, string tenant = "default") => new()
    {
        TenantId = tenant,
        Id = Guid.CreateVersion7(Start).ToString("D"),
        Name = name,
        Description = "é ✓ 🙂",
        Expression = "*/5 * * * *",
        RateMs = 60_000,
        TimeZone = "Europe/Berlin",
        FunctionName = "hello",
        Qualifier = "live",
        PayloadJson = """{"a":1}""",
        JobJson = "{}",
        Enabled = true,
        MissedRuns = "skip",
        NextAt = Start.AddMinutes(5),
        LastAt = Start,
        LastInvocationId = "0195",
        LastError = "none",
        RevisionId = Guid.NewGuid().ToString("D"),
        CreatedAt = Start,
        UpdatedAt = Start.AddMinutes(1),
    };

    public static AliasEntity Alias(FunctionEntity function, string name, int version) => new()
    {
        TenantId = function.TenantId,
        FunctionId = function.Id,
        Name = name,
        VersionNumber = version,
        RevisionId = Guid.NewGuid().ToString("D"),
        CreatedAt = Start,
        UpdatedAt = Start,
    };
}

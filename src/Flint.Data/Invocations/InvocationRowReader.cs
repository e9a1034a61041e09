using System.Data.Common;
using Flint.Data.Queue;

namespace Flint.Data.Invocations;

/// <summary>Reads rows in the order of <see cref="InvocationSql"/>'s columns; without data, as lists carry them. How ids and times are kept is the provider's.</summary>
internal abstract class InvocationRowReader
{
    public InvocationRow Read(DbDataReader reader, bool withData) => new()
    {
        TenantId = reader.GetString(0),
        Id = Id(reader, 1),
        Status = reader.GetString(2),
        Mode = reader.GetString(3),
        FunctionId = Text(reader, 4) ?? "",
        FunctionName = Text(reader, 5) ?? "",
        Version = Text(reader, 6) ?? "",
        Qualifier = Text(reader, 7),
        ErrorType = Text(reader, 8),
        CreatedAt = Time(reader, 9),
        StartedAt = reader.IsDBNull(10) ? null : Time(reader, 10),
        CompletedAt = reader.IsDBNull(11) ? null : Time(reader, 11),
        DurationMs = reader.IsDBNull(12) ? null : reader.GetDouble(12),
        InitDurationMs = reader.IsDBNull(13) ? null : reader.GetDouble(13),
        BilledMs = reader.IsDBNull(14) ? null : reader.GetInt64(14),
        MemoryMb = reader.GetInt32(15),
        PeakMemoryBytes = reader.IsDBNull(16) ? null : reader.GetInt64(16),
        ColdStart = reader.IsDBNull(17) ? null : reader.GetBoolean(17),
        Engine = Text(reader, 18),
        SandboxId = Text(reader, 19),
        Unenforced = Text(reader, 20),
        StartMode = Text(reader, 21),
        StartReason = Text(reader, 22),
        Attempts = reader.GetInt32(23),
        RunAt = reader.IsDBNull(24) ? null : Time(reader, 24),
        WorkerId = Text(reader, 25),
        ErrorJson = withData ? Text(reader, 26) : ErrorBrief.Of(Text(reader, 26)),
        LogDroppedLines = reader.IsDBNull(27) ? 0 : reader.GetInt64(27),
        LogDroppedBytes = reader.IsDBNull(28) ? 0 : reader.GetInt64(28),
        WorkJson = Text(reader, 29),
        Tags = TagText.Parse(Text(reader, 30)),
        AttemptsJson = withData ? Text(reader, 31) : null,
        Payload = withData ? Bytes(reader, 32) : null,
        Result = withData ? Bytes(reader, 33) : null,
        Log = withData ? Bytes(reader, 34) : null,
    };

    protected abstract string Id(DbDataReader reader, int ordinal);

    protected abstract DateTimeOffset Time(DbDataReader reader, int ordinal);

    private static string? Text(DbDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetString(ordinal);

    // A bare null in this expression would become an empty memory, by way of an array.
    private static ReadOnlyMemory<byte>? Bytes(DbDataReader reader, int ordinal) =>
        reader.IsDBNull(ordinal) ? default(ReadOnlyMemory<byte>?) : reader.GetFieldValue<byte[]>(ordinal);
}

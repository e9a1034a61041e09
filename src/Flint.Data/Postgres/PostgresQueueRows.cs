using Flint.Data.Queue;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>Reads what the queue's statements return.</summary>
internal static class PostgresQueueRows
{
    /// <summary>In the order of <see cref="PostgresClaimSql.Claim"/>'s columns.</summary>
    public static ClaimedItem Item(NpgsqlDataReader reader) => new()
    {
        TenantId = reader.GetString(1),
        Id = reader.GetGuid(2).ToString("D"),
        LeaseNo = reader.GetInt64(3),
        Attempt = reader.GetInt32(4),
        Losses = reader.GetInt32(5),
        Lane = reader.GetString(6),
        Priority = reader.GetInt32(7),
        ClaimedAt = Time(reader, 9),
        Expired = reader.GetBoolean(10),
        Mode = reader.GetString(11),
        FunctionId = Text(reader, 12) ?? "",
        FunctionName = Text(reader, 13) ?? "",
        Version = Text(reader, 14) ?? "",
        Qualifier = Text(reader, 15),
        CreatedAt = Time(reader, 16),
        WorkJson = reader.GetString(17),
        AttemptsJson = Text(reader, 18),
        Tags = TagText.Parse(Text(reader, 19)),
        Source = Bytes(reader, 20),
        Payload = Bytes(reader, 21),
    };

    /// <summary>The worker's columns as <see cref="PostgresWorkers"/> selects them.</summary>
    public static WorkerRow Worker(NpgsqlDataReader reader) => new(
        new WorkerInfo
        {
            Id = reader.GetString(0),
            Name = reader.GetString(1),
            ProductVersion = reader.GetString(2),
            Roles = reader.GetString(3),
            Places = reader.GetInt32(4),
            Running = reader.GetInt32(5),
            Draining = reader.GetBoolean(6),
            DetailsJson = reader.GetString(7),
        },
        Time(reader, 8),
        Time(reader, 9),
        TimeSpan.FromMilliseconds(reader.GetDouble(10)),
        reader.GetBoolean(11));

    /// <summary>How it was enqueued: work, attempts, tags, payload, source.</summary>
    public static StoredWork? Work(NpgsqlDataReader reader) => reader.IsDBNull(0)
        ? null
        : new StoredWork(reader.GetString(0), Text(reader, 1), Bytes(reader, 3), Bytes(reader, 4), TagText.Parse(Text(reader, 2)));

    public static string? Text(NpgsqlDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetString(ordinal);

    public static ReadOnlyMemory<byte>? Bytes(NpgsqlDataReader reader, int ordinal) =>
        reader.IsDBNull(ordinal) ? default(ReadOnlyMemory<byte>?) : reader.GetFieldValue<byte[]>(ordinal);

    private static DateTimeOffset Time(NpgsqlDataReader reader, int ordinal) => new(reader.GetDateTime(ordinal));
}

using System.Runtime.InteropServices;
using Npgsql;
using NpgsqlTypes;

namespace Flint.Data.Postgres;

/// <summary>Positional parameters, and how values are kept.</summary>
internal static class PostgresParameters
{
    private static readonly TimeSpan Longest = TimeSpan.FromDays(36_500);

    /// <summary>
    /// Begins a transaction whose statements go along indexes and are planned once. A plan is kept for as long as the connection, also from when the tables were empty; statistics of the
    /// queue are always old; and left to itself the planner plans the large ones each time, which takes as long as running them.
    /// </summary>
    public static void Begin(this NpgsqlBatch batch)
    {
        batch.Add("BEGIN");
        batch.Add("SET LOCAL enable_seqscan = off");
        batch.Add("SET LOCAL enable_bitmapscan = off");
        batch.Add("SET LOCAL plan_cache_mode = force_generic_plan");
    }

    public static void Commit(this NpgsqlBatch batch) => batch.Add("COMMIT");

    /// <summary>A further statement of the batch; returns its parameters.</summary>
    public static NpgsqlParameterCollection Add(this NpgsqlBatch batch, string sql)
    {
        var command = new NpgsqlBatchCommand(sql);
        batch.BatchCommands.Add(command);
        return command.Parameters;
    }

    public static NpgsqlParameterCollection Value<T>(this NpgsqlParameterCollection parameters, T value, NpgsqlDbType type)
    {
        parameters.Add(new NpgsqlParameter<T> { NpgsqlDbType = type, TypedValue = value });
        return parameters;
    }

    public static NpgsqlParameterCollection Text(this NpgsqlParameterCollection parameters, string? value) => parameters.Value(value, NpgsqlDbType.Text);

    public static NpgsqlParameterCollection Int(this NpgsqlParameterCollection parameters, int value) => parameters.Value(value, NpgsqlDbType.Integer);

    public static NpgsqlParameterCollection Long(this NpgsqlParameterCollection parameters, long value) => parameters.Value(value, NpgsqlDbType.Bigint);

    public static NpgsqlParameterCollection Bool(this NpgsqlParameterCollection parameters, bool value) => parameters.Value(value, NpgsqlDbType.Boolean);

    /// <summary>One column of all rows, as an array.</summary>
    public static NpgsqlParameterCollection Column<TRow, T>(
        this NpgsqlParameterCollection parameters, NpgsqlDbType type, IReadOnlyList<TRow> rows, Func<TRow, T> value)
    {
        var column = new T[rows.Count];
        for (var i = 0; i < column.Length; i++)
        {
            column[i] = value(rows[i]);
        }

        return parameters.Value(column, NpgsqlDbType.Array | type);
    }

    /// <summary>Reads to the end of the batch: what follows the rows, such as a commit that is refused, is seen by nobody else.</summary>
    public static async Task CompleteAsync(this NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        while (await reader.NextResultAsync(cancellationToken))
        {
        }
    }

    public static byte[]? Bytes(ReadOnlyMemory<byte>? memory)
    {
        if (memory is not { } bytes)
        {
            return null;
        }

        return MemoryMarshal.TryGetArray(bytes, out var segment) && segment.Array is { } array && array.Length == bytes.Length ? array : bytes.ToArray();
    }

    /// <summary>Whole milliseconds, as the other provider keeps.</summary>
    public static DateTime Time(DateTimeOffset time) => DateTimeOffset.FromUnixTimeMilliseconds(time.ToUnixTimeMilliseconds()).UtcDateTime;

    /// <summary>In microseconds, at most a hundred years: the database's own range ends.</summary>
    public static long Microseconds(TimeSpan time) => (time < Longest ? time : Longest).Ticks / TimeSpan.TicksPerMicrosecond;

    public static DateTime? Time(DateTimeOffset? time) => time is { } known ? Time(known) : null;
}

namespace Flint.Data.Hosting;

/// <summary>Where Flint keeps its data, and how its history is buffered.</summary>
public sealed class DatabaseOptions
{
    /// <summary>
    /// <c>Flint:Database:ConnectionString</c>. Empty (the default): SQLite in <c>flint.db</c> under <see cref="DataPath"/>. Otherwise a PostgreSQL
    /// connection string (Npgsql's keywords), which may hold a password and is never logged.
    /// </summary>
    public string ConnectionString { get; init; } = "";

    /// <summary>
    /// <c>Flint:Database:ListenConnectionString</c>. Where notices of other servers are heard, on one lasting connection. Empty (the default): <see cref="ConnectionString"/>. Needed
    /// where that one leads through a pooler that does not pool by session (PgBouncer's transaction mode): name the primary itself, the same database.
    /// </summary>
    public string ListenConnectionString { get; init; } = "";

    /// <summary><c>Flint:DataPath</c>. The directory of the SQLite file and the code packages; made with mode 0700 when missing. Default <c>./data</c>.</summary>
    public string DataPath { get; init; } = "./data";

    /// <summary>
    /// <c>Flint:Database:BusyTimeoutMs</c>. How long SQLite waits for another process that holds the write lock. 0 to 600000, default 10000: longer
    /// than any checkpoint, short enough that a stuck neighbour shows.
    /// </summary>
    public int BusyTimeoutMs { get; init; } = 10_000;

    /// <summary>
    /// <c>Flint:Database:WalLimitBytes</c>. When SQLite's write-ahead log is longer, it is cut to nothing. 1 MB to 16 GB, default 64 MB. In between it
    /// is copied into the database without making writers wait.
    /// </summary>
    public long WalLimitBytes { get; init; } = 64L << 20;

    /// <summary>
    /// <c>Flint:Database:JournalWindowMs</c>. The longest that a buffered record waits before its batch is written; what a killed server may lose.
    /// 1 to 1000, default 50 (the promise in SPECIFICATION.md).
    /// </summary>
    public int JournalWindowMs { get; init; } = 50;

    /// <summary><c>Flint:Database:JournalMaxRows</c>. Records buffered before callers wait. 1 to 1000000, default 20000: over a second of full load.</summary>
    public int JournalMaxRows { get; init; } = 20_000;

    /// <summary>
    /// <c>Flint:Database:JournalMaxBytes</c>. Bytes buffered before callers wait. When those who wait hold half as much again, or are more than one for each
    /// 64 KB of it, new invocations are refused as <c>throttled</c>. 1 MB to 16 GB, default 64 MB: a handful of the largest records.
    /// </summary>
    public long JournalMaxBytes { get; init; } = 64L << 20;

    /// <summary>
    /// <c>Flint:Database:ShutdownFlushMs</c>. How long a stopping server keeps trying to write what is buffered when the database fails. 1000 to
    /// 600000, default 10000. What is then unwritten is lost, and the log says how much.
    /// </summary>
    public int ShutdownFlushMs { get; init; } = 10_000;

    /// <summary>True when PostgreSQL is used.</summary>
    public bool UsesPostgres => !string.IsNullOrWhiteSpace(ConnectionString);

    /// <summary>All that is wrong with these options, each naming its knob; empty when nothing is.</summary>
    public IReadOnlyList<string> Validate()
    {
        var problems = new List<string>();
        if (string.IsNullOrWhiteSpace(DataPath))
        {
            problems.Add("Flint:DataPath is empty; name a directory.");
        }
        else if (DataPath.Contains('\0'))
        {
            problems.Add("Flint:DataPath holds a NUL character.");
        }

        if (UsesPostgres && ConnectionStringProblem("ConnectionString", ConnectionString, "SQLite") is { } problem)
        {
            problems.Add(problem);
        }

        if (!string.IsNullOrWhiteSpace(ListenConnectionString))
        {
            if (!UsesPostgres)
            {
                problems.Add("Flint:Database:ListenConnectionString is set, but Flint:Database:ConnectionString is empty: SQLite needs neither.");
            }
            else if (ConnectionStringProblem("ListenConnectionString", ListenConnectionString, "Flint:Database:ConnectionString") is { } listen)
            {
                problems.Add(listen);
            }
        }

        Range(problems, "BusyTimeoutMs", BusyTimeoutMs, 0, 600_000);
        Range(problems, "WalLimitBytes", WalLimitBytes, 1L << 20, 16L << 30);
        Range(problems, "JournalWindowMs", JournalWindowMs, 1, 1000);
        Range(problems, "JournalMaxRows", JournalMaxRows, 1, 1_000_000);
        Range(problems, "JournalMaxBytes", JournalMaxBytes, 1L << 20, 16L << 30);
        Range(problems, "ShutdownFlushMs", ShutdownFlushMs, 1000, 600_000);
        return problems;
    }

    private static void Range(List<string> problems, string name, long value, long least, long most)
    {
        if (value < least || value > most)
        {
            problems.Add($"Flint:Database:{name} is {value}; it must be {least} to {most}.");
        }
    }

    private static string? ConnectionStringProblem(string name, string value, string whenEmpty)
    {
        try
        {
            return string.IsNullOrEmpty(new Npgsql.NpgsqlConnectionStringBuilder(value).Host)
                ? $"Flint:Database:{name} names no Host; it must be a PostgreSQL connection string, or empty for {whenEmpty}."
                : null;
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException or KeyNotFoundException)
        {
            // The exception's text may quote a password.
            return $"Flint:Database:{name} is not a PostgreSQL connection string (Host=...;Database=...;Username=...); empty means {whenEmpty}.";
        }
    }
}

using System.Buffers;
using System.Text;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Flint.Data.Sqlite;

/// <summary>
/// A prepared statement run through SQLite's own interface: history rows are many and their parameters need no boxing. Owned and used
/// by the writer thread alone. Parameters count from 1.
/// </summary>
internal sealed class SqliteStatement : IDisposable
{
    private readonly sqlite3 _connection;
    private readonly sqlite3_stmt _statement;

    public SqliteStatement(sqlite3 connection, string sql)
    {
        _connection = connection;
        SqliteException.ThrowExceptionForRC(raw.sqlite3_prepare_v2(connection, sql, out _statement), connection);
    }

    public void Bind(int index, string? value)
    {
        if (value is null)
        {
            BindNull(index);
        }
        else if (value.Length == 0)
        {
            Check(raw.sqlite3_bind_text(_statement, index, value));
        }
        else
        {
            BindUtf8(index, value);
        }
    }

    public void Bind(int index, ReadOnlySpan<byte> value)
    {
        // A span of no bytes has no address, which SQLite takes for NULL.
        Check(value.IsEmpty ? raw.sqlite3_bind_zeroblob(_statement, index, 0) : raw.sqlite3_bind_blob(_statement, index, value));
    }

    public void Bind(int index, ReadOnlyMemory<byte>? value)
    {
        if (value is { } bytes)
        {
            Bind(index, bytes.Span);
        }
        else
        {
            BindNull(index);
        }
    }

    public void Bind(int index, long? value)
    {
        if (value is { } number)
        {
            Check(raw.sqlite3_bind_int64(_statement, index, number));
        }
        else
        {
            BindNull(index);
        }
    }

    public void Bind(int index, double? value)
    {
        if (value is { } number)
        {
            Check(raw.sqlite3_bind_double(_statement, index, number));
        }
        else
        {
            BindNull(index);
        }
    }

    public void BindNull(int index) => Check(raw.sqlite3_bind_null(_statement, index));

    /// <summary>Runs it to the end and makes it ready for the next use. Returns the number of rows it changed.</summary>
    public int Execute()
    {
        try
        {
            while (Step())
            {
            }

            return raw.sqlite3_changes(_connection);
        }
        finally
        {
            Reset();
        }
    }

    /// <summary>Runs it row by row; disposing the result makes it ready for the next use. One at a time.</summary>
    public SqliteRows Rows() => new(this, _statement);

    /// <summary>False when there is no further row.</summary>
    internal bool Step()
    {
        var code = raw.sqlite3_step(_statement);
        if (code is not (raw.SQLITE_ROW or raw.SQLITE_DONE))
        {
            Check(code);
        }

        return code == raw.SQLITE_ROW;
    }

    internal void Reset()
    {
        raw.sqlite3_reset(_statement);
        raw.sqlite3_clear_bindings(_statement);
    }

    public void Dispose() => _statement.Dispose();

    private void BindUtf8(int index, string value)
    {
        var most = Encoding.UTF8.GetMaxByteCount(value.Length);
        var rented = most > 1024 ? ArrayPool<byte>.Shared.Rent(most) : null;
        try
        {
            var buffer = rented is null ? stackalloc byte[1024] : rented;
            var length = Encoding.UTF8.GetBytes(value, buffer);
            Check(raw.sqlite3_bind_text(_statement, index, buffer[..length]));
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }
    }

    private void Check(int code) => SqliteException.ThrowExceptionForRC(code, _connection);
}

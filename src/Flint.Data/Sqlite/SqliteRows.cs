using SQLitePCL;

namespace Flint.Data.Sqlite;

/// <summary>The rows of a running <see cref="SqliteStatement"/>, read without boxing. Columns count from 0. Dispose it before the statement is used again.</summary>
internal readonly ref struct SqliteRows(SqliteStatement owner, sqlite3_stmt statement)
{
    /// <summary>Goes to the next row, at first to the first one; false when there is none.</summary>
    public bool Next() => owner.Step();

    public bool IsNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

    public long Long(int column) => raw.sqlite3_column_int64(statement, column);

    public int Int(int column) => raw.sqlite3_column_int(statement, column);

    public long? LongOrNull(int column) => IsNull(column) ? null : Long(column);

    public bool Bool(int column) => Int(column) != 0;

    public string Text(int column) => raw.sqlite3_column_text(statement, column).utf8_to_string() ?? "";

    public string? TextOrNull(int column) => IsNull(column) ? null : Text(column);

    public Guid Id(int column) => new(raw.sqlite3_column_blob(statement, column), bigEndian: true);

    public byte[] Bytes(int column) => raw.sqlite3_column_blob(statement, column).ToArray();

    // A bare null in this expression would become an empty memory, by way of an array.
    public ReadOnlyMemory<byte>? BytesOrNull(int column) => IsNull(column) ? default(ReadOnlyMemory<byte>?) : Bytes(column);

    /// <summary>True when the column holds just these bytes.</summary>
    public bool Holds(int column, ReadOnlySpan<byte> bytes) => raw.sqlite3_column_blob(statement, column).SequenceEqual(bytes);

    public void Dispose() => owner.Reset();
}

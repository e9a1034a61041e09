using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Tests.Migrations;

/// <summary>A database's schema as sorted lines: columns, keys, indexes, foreign keys.</summary>
internal static class SchemaText
{
    private const string Sqlite = """
        WITH t AS (SELECT name FROM sqlite_schema WHERE type = 'table')
        SELECT t.name || ' column ' || c.name || ' ' || c.type || iif(c."notnull", ' not null', '') FROM t, pragma_table_info(t.name) c
        UNION ALL
        SELECT t.name || ' key ' || group_concat(c.name, ',' ORDER BY c.pk) FROM t, pragma_table_info(t.name) c WHERE c.pk > 0 GROUP BY t.name
        UNION ALL
        SELECT t.name || iif(i."unique", ' unique ', ' index ') || i.name || ' ' || group_concat(c.name, ',' ORDER BY c.seqno)
        FROM t, pragma_index_list(t.name) i, pragma_index_info(i.name) c WHERE i.origin = 'c' GROUP BY t.name, i.name
        UNION ALL
        SELECT t.name || ' foreign ' || group_concat(f."from", ',' ORDER BY f.seq) || ' to ' || f."table" || ' ' || group_concat(f."to", ',' ORDER BY f.seq) || ' ' || lower(f.on_delete)
        FROM t, pragma_foreign_key_list(t.name) f GROUP BY t.name, f.id
        """;

    private const string Postgres = """
        WITH t AS (SELECT oid, relname::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)
        SELECT t.name || ' column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
        FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT t.name || CASE WHEN i.indisprimary THEN ' key ' WHEN i.indisunique THEN ' unique ' || c.relname || ' ' ELSE ' index ' || c.relname || ' ' END
            || (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ',' ORDER BY n) FROM generate_series(1, i.indnkeyatts) n)
        FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
        UNION ALL
        SELECT t.name || ' foreign '
            || (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num)
            || ' to ' || f.confrelid::regclass || ' '
            || (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num)
            || CASE f.confdeltype WHEN 'c' THEN ' cascade' WHEN 'a' THEN ' no action' ELSE ' other' END
        FROM t JOIN pg_constraint f ON f.conrelid = t.oid AND f.contype = 'f'
        """;

    public static async Task<List<string>> ReadAsync(DbConnection connection) =>
        [.. (await LinesAsync(connection, connection is SqliteConnection ? Sqlite : Postgres)).Order(StringComparer.Ordinal)];

    public static async Task<List<string>> LinesAsync(DbConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new List<string>();
        while (await reader.ReadAsync())
        {
            lines.Add(reader.GetString(0));
        }

        return lines;
    }
}

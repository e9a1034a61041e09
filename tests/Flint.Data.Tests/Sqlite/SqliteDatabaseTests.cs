using Flint.Data.Sqlite;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Data.Tests.Sqlite;

/// <summary>What is SQLite's alone: durability settings, files, faults, neighbours.</summary>
public sealed class SqliteDatabaseTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    private string Path => _directory.File("data");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task The_writer_acknowledges_what_is_on_the_disk()
    {
        await using var store = await OpenAsync();
        var database = store.Get<SqliteDatabase>();
        var settings = await database.Writer.RunAsync(
            scope => string.Join(' ', new[] { "journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout" }.Select(name => Scalar(scope, $"PRAGMA {name}"))),
            default);
        settings.ShouldBe("wal 2 1 0 10000");
    }

    [Fact]
    public async Task Only_the_user_may_read_the_files()
    {
        await using var store = await OpenAsync();
        await store.Invocations.AppendAsync([Rows.Invocation()], default);
        File.GetUnixFileMode(Path).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (var file in new[] { "flint.db", "flint.db-wal" })
        {
            File.GetUnixFileMode(System.IO.Path.Combine(Path, file)).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    [Fact]
    public async Task Closing_leaves_one_complete_file()
    {
        await using (var store = await OpenAsync())
        {
            await store.Invocations.AppendAsync([Rows.Invocation()], default);
            await store.Invocations.ListAsync(new() { TenantId = "default" }, default);
        }

        Directory.GetFiles(Path).Select(file => System.IO.Path.GetFileName(file)).ShouldBe(["flint.db"]);
    }

    [Fact]
    public async Task What_a_killed_put_left_is_removed_later()
    {
        await using var store = await OpenAsync();
        var temporary = Directory.CreateDirectory(System.IO.Path.Combine(Path, "blobs", ".tmp")).FullName;
        var old = System.IO.Path.Combine(temporary, "old");
        var young = System.IO.Path.Combine(temporary, "young");
        await File.WriteAllTextAsync(old, "x");
        await File.WriteAllTextAsync(young, "x");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddHours(-2));

        await store.Blobs.PutAsync("default", Rows.Sha('a'), new byte[1], default);

        Directory.GetFiles(temporary).ShouldBe([young]);
    }

    [Fact]
    public async Task Readers_cannot_write()
    {
        await using var store = await OpenAsync();
        await Should.ThrowAsync<DatabaseException>(() => store.Catalog.ReadAsync((db, token) => db.CodeBlobs.ExecuteDeleteAsync(token), default));
    }

    [Fact]
    public async Task A_write_inside_a_write_is_refused_instead_of_waiting_for_itself()
    {
        await using var store = await OpenAsync();
        await Should.ThrowAsync<InvalidOperationException>(() => store.Catalog.WriteAsync(
            (_, token) => store.Catalog.WriteAsync((_, _) => Task.FromResult(1), token), default));
        await store.Catalog.WriteAsync((_, _) => Task.FromResult(1), default);
    }

    [Fact]
    public async Task Writing_before_migration_and_after_disposal_says_so()
    {
        await using var database = new SqliteDatabase(new() { DataPath = Path }, TimeProvider.System, NullLoggerFactory.Instance);
        await Should.ThrowAsync<InvalidOperationException>(() => new SqliteInvocationStore(database).AppendAsync([Rows.Invocation()], default));
        Directory.Exists(Path).ShouldBeFalse();

        await database.MigrateAsync(default);
        await database.DisposeAsync();
        await Should.ThrowAsync<ObjectDisposedException>(() => new SqliteInvocationStore(database).AppendAsync([Rows.Invocation()], default));
    }

    [Fact]
    public async Task A_second_opener_reads_and_writes_beside_the_first()
    {
        await using var first = await OpenAsync();
        await using var second = await OpenAsync();
        var mine = Enumerable.Range(0, 30).Select(i => Task.Run(() => first.Invocations.AppendAsync(Rows.Invocations(10, Rows.Start.AddSeconds(i)), default)));
        var theirs = Enumerable.Range(0, 30).Select(i => Task.Run(() => second.Invocations.AppendAsync(Rows.Invocations(10, Rows.Start.AddHours(i)), default)));
        await Task.WhenAll([.. mine, .. theirs]);
        (await second.Invocations.ListAsync(new() { TenantId = "default", Limit = 1000 }, default)).Rows.Count.ShouldBe(600);
    }

    [Fact]
    public async Task A_neighbour_that_keeps_the_lock_is_told_with_the_knob()
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = Path, BusyTimeoutMs = 50 });
        await using (var neighbour = new SqliteConnection($"Data Source={Path}/flint.db;Pooling=False"))
        {
            await neighbour.OpenAsync();
            await using var transaction = neighbour.BeginTransaction(deferred: false);
            var fault = await Should.ThrowAsync<DatabaseException>(() => store.Invocations.AppendAsync([Rows.Invocation()], default));
            fault.Message.ShouldContain("Flint:Database:BusyTimeoutMs");
        }

        await store.Invocations.AppendAsync([Rows.Invocation()], default);
    }

    [Fact]
    public async Task A_full_disk_fails_the_write_alone_and_work_goes_on_when_there_is_room()
    {
        await using var store = await OpenAsync();
        var database = store.Get<SqliteDatabase>();
        var kept = Rows.Invocation();
        await store.Invocations.AppendAsync([kept], default);
        await database.Writer.RunAsync(scope => Scalar(scope, "PRAGMA max_page_count = 1"), default);

        var large = Rows.Invocation() with { Result = new byte[1 << 20] };
        var fault = await Should.ThrowAsync<DatabaseException>(() => store.Invocations.AppendAsync([large], default));
        fault.Message.ShouldContain("full");
        (await store.Invocations.GetAsync("default", large.Id, default)).ShouldBeNull();

        await database.Writer.RunAsync(scope => Scalar(scope, "PRAGMA max_page_count = 1000000"), default);
        await store.Invocations.AppendAsync([large], default);
        (await store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_damaged_file_is_named()
    {
        Directory.CreateDirectory(Path);
        await File.WriteAllTextAsync(System.IO.Path.Combine(Path, "flint.db"), new string('x', 10_000));
        var fault = await Should.ThrowAsync<DatabaseException>(OpenAsync);
        fault.Message.ShouldContain("damaged");
        fault.Message.ShouldContain("flint.db");
    }

    [Fact]
    public async Task A_data_path_that_cannot_be_made_is_named()
    {
        await File.WriteAllTextAsync(Path, "a file");
        var fault = await Should.ThrowAsync<DatabaseException>(OpenAsync);
        fault.Message.ShouldContain("Flint:DataPath");
    }

    [Fact]
    public async Task A_data_path_that_cannot_be_written_is_named()
    {
        Assert.SkipWhen(Environment.UserName == "root", "root may write everywhere");
        Directory.CreateDirectory(Path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        (await Should.ThrowAsync<DatabaseException>(OpenAsync)).Message.ShouldContain("Flint:DataPath");
    }

    [Fact]
    public async Task Failing_commands_in_one_batch_are_rolled_back_alone()
    {
        await using var store = await OpenAsync();
        var writer = store.Get<SqliteDatabase>().Writer;
        using var gate = new ManualResetEventSlim();
        var first = writer.RunAsync(scope => Insert(scope, "a", gate), default);
        var rest = Enumerable.Range(0, 9).Select(i => writer.RunAsync(
            scope => Insert(scope, $"b{i}", null) + (i % 3 == 0 ? throw new InvalidDataException() : 0), default)).ToList();
        gate.Set();

        await first;
        foreach (var (command, i) in rest.Select((command, i) => (command, i)))
        {
            await (i % 3 == 0 ? (Task)Should.ThrowAsync<InvalidDataException>(() => command) : command);
        }

        (await store.Catalog.ReadAsync((db, token) => db.CodeBlobs.CountAsync(token), default)).ShouldBe(7);
    }

    [Fact]
    public async Task A_command_withdrawn_while_it_waits_is_never_run()
    {
        await using var store = await OpenAsync();
        var writer = store.Get<SqliteDatabase>().Writer;
        using var gate = new ManualResetEventSlim();
        using var cancelled = new CancellationTokenSource();
        var first = writer.RunAsync(scope => Insert(scope, "a", gate), default);
        var second = writer.RunAsync(scope => Insert(scope, "b", null), cancelled.Token);
        await cancelled.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => second);
        gate.Set();
        await first;
        (await store.Catalog.ReadAsync((db, token) => db.CodeBlobs.CountAsync(token), default)).ShouldBe(1);
    }

    [Fact]
    public async Task The_log_is_copied_when_it_grows_and_cut_when_it_is_long()
    {
        await using var store = await OpenAsync();
        var file = store.Get<SqliteDatabase>().Path;
        var time = new ManualTime();
        await using var checkpointer = new SqliteCheckpointer(file, () => Connect(file), limit: 16L << 20, time, NullLogger.Instance);
        checkpointer.RunOnce().ShouldBeNull();
        time.Advance(TimeSpan.FromMinutes(1));

        await store.Invocations.AppendAsync([Rows.Invocation() with { Result = new byte[6 << 20] }], default);
        checkpointer.RunOnce().ShouldBe("PASSIVE");
        await store.Invocations.AppendAsync([Rows.Invocation() with { Result = new byte[18 << 20] }], default);
        checkpointer.RunOnce().ShouldBe("TRUNCATE");
        new FileInfo(file + "-wal").Length.ShouldBe(0);
        (await store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData(null, null, null, null, null, "PRIMARY KEY")]
    [InlineData("function", null, null, null, null, "ix_invocations_function")]
    [InlineData("function", "CANCELLED", true, null, null, "ix_invocations_status")]
    [InlineData("function", "COMPLETED", true, null, null, "ix_invocations_function")]
    [InlineData(null, "FAILED", null, null, null, "ix_invocations_status")]
    [InlineData(null, "COMPLETED", null, null, null, "PRIMARY KEY")]
    [InlineData(null, null, true, null, null, "ix_invocations_cold")]
    [InlineData(null, null, null, "job", null, "ix_invocations_jobs")]
    [InlineData(null, "COMPLETED", null, "job", null, "ix_invocations_jobs")]
    [InlineData(null, "FAILED", null, "job", null, "ix_invocations_status")]
    [InlineData(null, "PENDING", null, null, null, "ix_invocations_status")]
    [InlineData("function", "PENDING", null, "async", "tag", "invocation_tags")]
    [InlineData(null, null, null, "job", "tag", "invocation_tags")]
    public async Task Lists_walk_an_index_without_sorting(string? function, string? status, bool? cold, string? mode, string? tag, string index)
    {
        await using var store = await OpenAsync();
        var plan = await PlanAsync(store, Filtered(function, status, cold, mode, tag));
        // By a tag, the finished page is sorted again; what it is found by is not.
        plan.TakeWhile(line => tag is null || line != "SCAN i").ShouldNotContain(line => line.Contains("TEMP B-TREE"), string.Join('\n', plan));
        plan.ShouldNotContain(line => line.StartsWith("SCAN", StringComparison.Ordinal) && !line.Contains("SCAN i"), string.Join('\n', plan));
        plan.ShouldContain(line => line.Contains(index) || (tag != null && line.StartsWith("SEARCH t USING PRIMARY KEY (tenant_id=? AND tag=?", StringComparison.Ordinal)), string.Join('\n', plan));
    }

    /// <summary>What runs is found by the few rows that run; those are sorted.</summary>
    [Theory]
    [InlineData(null, null, null)]
    [InlineData("function", "job", "tag")]
    public async Task Lists_of_what_runs_walk_what_runs(string? function, string? mode, string? tag)
    {
        await using var store = await OpenAsync();
        var plan = await PlanAsync(store, Filtered(function, "RUNNING", null, mode, tag));
        plan.ShouldContain(line => line.StartsWith("SCAN q USING COVERING INDEX ix_queue_worker", StringComparison.Ordinal) || line.StartsWith("SCAN q USING INDEX ix_queue_worker", StringComparison.Ordinal), string.Join('\n', plan));
        plan.ShouldContain(line => line.StartsWith("SEARCH i USING PRIMARY KEY (tenant_id=? AND id=?)", StringComparison.Ordinal), string.Join('\n', plan));
    }

    private static Flint.Data.Invocations.InvocationQuery Filtered(string? function, string? status, bool? cold, string? mode, string? tag) => new()
    {
        TenantId = "default",
        FunctionName = function,
        Status = status,
        ColdStart = cold,
        Mode = mode,
        Tag = tag,
        BeforeId = Rows.Invocation().Id,
        From = Rows.Start,
        To = Rows.Start,
    };

    private static Task<List<string>> PlanAsync(TestStore store, Flint.Data.Invocations.InvocationQuery query) => store.Get<SqliteDatabase>().Writer.RunAsync(
        scope =>
        {
            using var command = scope.Connection.CreateCommand();
            command.Transaction = scope.Transaction;
            command.CommandText = "EXPLAIN QUERY PLAN " + Flint.Data.Invocations.InvocationSql.List(query, sqlite: true);
            foreach (var name in new[] { "@tenant", "@take", "@offset", "@function", "@tag", "@before", "@from", "@fromId", "@to", "@toId" })
            {
                command.Parameters.AddWithValue(name, 1);
            }

            using var reader = command.ExecuteReader();
            var lines = new List<string>();
            while (reader.Read())
            {
                lines.Add(reader.GetString(3));
            }

            return lines;
        },
        default);

    private Task<TestStore> OpenAsync() => TestStore.OpenAsync(new() { DataPath = Path });

    private static SqliteConnection Connect(string file)
    {
        var connection = new SqliteConnection($"Data Source={file};Pooling=False");
        connection.Open();
        return connection;
    }

    private static string? Scalar(SqliteWriteScope scope, string sql)
    {
        using var command = scope.Connection.CreateCommand();
        command.Transaction = scope.Transaction;
        command.CommandText = sql;
        return command.ExecuteScalar()?.ToString();
    }

    private static int Insert(SqliteWriteScope scope, string sha, ManualResetEventSlim? gate)
    {
        gate?.Wait(TimeSpan.FromSeconds(20));
        var insert = scope.Statement("INSERT INTO code_blobs VALUES ('default', ?, 1, 1)");
        insert.Bind(1, sha);
        return insert.Execute();
    }
}

using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Flint.Data.Tests.Postgres;

/// <summary>A server of its own that dies in the middle.</summary>
public sealed class PostgresFailureTests(MortalServer mortal) : IClassFixture<MortalServer>, IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private PostgresServer _server = null!;
    private TestStore _store = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await mortal.RunningAsync();
        _store = await TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = await _server.CreateDatabaseAsync() });
    }

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        _directory.Dispose();
    }

    [Fact]
    public async Task A_crash_under_load_loses_nothing_acknowledged_and_work_goes_on()
    {
        var acknowledged = new ConcurrentBag<string>();
        using var ending = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 8).Select(_ => Task.Run(() => RecordUntilAsync(acknowledged, ending.Token))).ToList();
        await MoreThanAsync(acknowledged, 200);

        await _server.KillAsync();
        var buffered = Rows.Invocation(TimeProvider.System.GetUtcNow());
        await _store.Journal.RecordAsync(buffered, strict: false, default);
        (await _store.Journal.GetAsync("default", buffered.Id, default)).ShouldNotBeNull();
        var fault = await Should.ThrowAsync<DatabaseException>(() => _store.Database.PingAsync(default));
        fault.Message.ShouldContain("127.0.0.1");

        await _server.StartAsync();
        await MoreThanAsync(acknowledged, acknowledged.Count + 200);
        await ending.CancelAsync();
        await Task.WhenAll(writers);
        await _store.Journal.DisposeAsync();

        foreach (var id in acknowledged.Append(buffered.Id))
        {
            (await _store.Invocations.GetAsync("default", id, default)).ShouldNotBeNull();
        }
    }

    [Fact]
    public async Task A_restart_between_uses_is_not_seen()
    {
        await AddBlobAsync('a');
        await _store.Invocations.AppendAsync(Rows.Invocations(3), default);
        await _server.KillAsync();
        await _server.StartAsync();

        // Every pooled connection is dead now; each kind of use finds out for itself.
        (await _store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows.Count.ShouldBe(3);
        await EndConnectionsAsync();
        await AddBlobAsync('b');
        await EndConnectionsAsync();
        (await _store.Catalog.ReadAsync((db, token) => db.CodeBlobs.CountAsync(token), default)).ShouldBe(2);
        await EndConnectionsAsync();
        await _store.Invocations.AppendAsync(Rows.Invocations(1), default);
        await EndConnectionsAsync();
        await _store.Blobs.PutAsync("default", Rows.Sha('a'), new byte[10], default);
        await EndConnectionsAsync();
        await _store.Database.PingAsync(default);
    }

    [Fact]
    public async Task A_command_whose_connection_breaks_before_the_commit_is_run_again()
    {
        var runs = 0;
        await _store.Catalog.WriteAsync(
            async (db, token) =>
            {
                db.Add(Rows.Blob());
                await db.SaveChangesAsync(token);
                if (runs++ == 0)
                {
                    await TerminateAsync((NpgsqlConnection)db.Database.GetDbConnection());
                }

                return await db.CodeBlobs.CountAsync(token);
            },
            default);
        runs.ShouldBe(2);
        (await _store.Catalog.ReadAsync((db, token) => db.CodeBlobs.CountAsync(token), default)).ShouldBe(1);
    }

    [Fact]
    public async Task A_connection_lost_in_the_commit_is_reported_and_not_tried_again()
    {
        var runs = 0;
        await Should.ThrowAsync<DatabaseException>(() => _store.Catalog.WriteAsync(
            async (db, token) =>
            {
                runs++;
                db.Add(Rows.Blob());
                await db.SaveChangesAsync(token);
                await TerminateAsync((NpgsqlConnection)db.Database.GetDbConnection());
                return 0;
            },
            default));
        runs.ShouldBe(1);
    }

    [Fact]
    public async Task A_missing_database_is_named_and_no_password_is_told()
    {
        var missing = _server.ConnectionString("nowhere") + ";Password=hunter2";
        var fault = await Should.ThrowAsync<DatabaseException>(() => TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = missing }));
        fault.Message.ShouldContain("nowhere");
        fault.Message.ShouldContain("CREATE DATABASE");
        fault.ToString().ShouldNotContain("hunter2");
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_named()
    {
        await using var store = _store;
        await _server.KillAsync();
        var fault = await Should.ThrowAsync<DatabaseException>(
            () => TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = _server.ConnectionString("x") }));
        fault.Message.ShouldContain("cannot be reached");
        fault.Message.ShouldContain("Flint:Database:ConnectionString");
    }

    private async Task RecordUntilAsync(ConcurrentBag<string> acknowledged, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            var row = Rows.Invocation(TimeProvider.System.GetUtcNow());
            await _store.Journal.RecordAsync(row, strict: true, default);
            acknowledged.Add(row.Id);
        }
    }

    private static async Task MoreThanAsync(ConcurrentBag<string> acknowledged, int count)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (acknowledged.Count <= count)
        {
            await Task.Delay(10, limit.Token);
        }
    }

    private async Task EndConnectionsAsync()
    {
        await using var killer = new NpgsqlConnection(_server.ConnectionString() + ";Pooling=false");
        await killer.OpenAsync();
        await using var command = new NpgsqlCommand(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'flint' AND pid <> pg_backend_pid()", killer);
        ((long)(await command.ExecuteScalarAsync())!).ShouldBeGreaterThan(0);
    }

    private Task<int> AddBlobAsync(char digit) => _store.Catalog.WriteAsync(
        (db, token) =>
        {
            db.Add(Rows.Blob(sha256: Rows.Sha(digit)));
            return db.SaveChangesAsync(token);
        },
        default);

    private async Task TerminateAsync(NpgsqlConnection victim)
    {
        await using var killer = new NpgsqlConnection(_server.ConnectionString() + ";Pooling=false");
        await killer.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT pg_terminate_backend({victim.ProcessID}, 5000)", killer);
        (await command.ExecuteScalarAsync()).ShouldBe(true);
    }
}

/// <summary>A server that a test may kill; the next test finds it running.</summary>
public sealed class MortalServer : IAsyncDisposable
{
    private PostgresServer? _server;

    internal async Task<PostgresServer> RunningAsync()
    {
        _server ??= await PostgresServer.StartNewAsync(PostgresFixture.RequireBin());
        if (!_server.IsRunning)
        {
            await _server.StartAsync();
        }

        return _server;
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }
}

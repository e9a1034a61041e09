using Flint.Data.Catalog;
using Flint.Data.Model;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data.Tests.Conformance;

public abstract class CatalogConformance : StoreConformance
{
    [Fact]
    public async Task A_function_with_versions_and_aliases_reads_back_as_written()
    {
        var function = Rows.Function("hello");
        await AddAsync(Rows.Blob(), function, Rows.Version(function, 1), Rows.Alias(function, "live", 1));

        var read = await Store.Catalog.ReadAsync((db, token) => db.Functions.SingleAsync(token), default);

        read.ShouldBeEquivalentTo(function);
        (await Store.Catalog.ReadAsync((db, token) => db.FunctionVersions.SingleAsync(token), default)).Number.ShouldBe(1);
        (await Store.Catalog.ReadAsync((db, token) => db.Aliases.SingleAsync(token), default)).VersionNumber.ShouldBe(1);
    }

    [Fact]
    public async Task A_committed_write_survives_reopening()
    {
        await AddAsync(Rows.Blob(), Rows.Function("hello"));
        await ReopenAsync();
        (await CountAsync()).ShouldBe(1);
    }

    [Fact]
    public async Task Times_keep_milliseconds_and_become_utc()
    {
        var blob = Rows.Blob();
        blob.CreatedAt = new DateTimeOffset(2026, 3, 1, 14, 0, 0, 123, TimeSpan.FromHours(2)).AddTicks(4567);
        await AddAsync(blob);

        var read = await Store.Catalog.ReadAsync((db, token) => db.CodeBlobs.SingleAsync(token), default);

        read.CreatedAt.ShouldBe(new DateTimeOffset(2026, 3, 1, 12, 0, 0, 123, TimeSpan.Zero));
        read.CreatedAt.Offset.ShouldBe(TimeSpan.Zero);
    }

    [Fact]
    public async Task Times_can_be_compared_and_sorted_in_queries()
    {
        await AddAsync(Rows.Blob());
        var found = await Store.Catalog.ReadAsync(
            (db, token) => db.CodeBlobs.Where(blob => blob.CreatedAt <= Rows.Start).OrderBy(blob => blob.CreatedAt).CountAsync(token), default);
        found.ShouldBe(1);
    }

    [Fact]
    public async Task A_second_function_of_one_name_is_a_unique_key_fault()
    {
        await AddAsync(Rows.Blob(), Rows.Function("hello"));
        await Should.ThrowAsync<UniqueKeyException>(() => AddAsync(Rows.Function("hello")));
        (await CountAsync()).ShouldBe(1);
    }

    [Fact]
    public async Task A_second_blob_of_one_hash_is_a_unique_key_fault()
    {
        await AddAsync(Rows.Blob());
        await Should.ThrowAsync<UniqueKeyException>(() => AddAsync(Rows.Blob()));
    }

    [Fact]
    public async Task Tenants_may_use_the_same_names_and_hashes()
    {
        await AddAsync(Rows.Blob("one"), Rows.Blob("two"), Rows.Function("hello", "one"), Rows.Function("hello", "two"));
        (await CountAsync()).ShouldBe(2);
    }

    [Fact]
    public async Task A_command_that_throws_leaves_nothing_and_the_next_one_works()
    {
        await Should.ThrowAsync<InvalidDataException>(() => Store.Catalog.WriteAsync<int>(
            async (db, token) =>
            {
                db.Add(Rows.Blob());
                await db.SaveChangesAsync(token);
                throw new InvalidDataException("no");
            },
            default));
        await AddAsync(Rows.Blob());
        (await Store.Catalog.ReadAsync((db, token) => db.CodeBlobs.CountAsync(token), default)).ShouldBe(1);
    }

    [Fact]
    public async Task A_stale_revision_is_refused()
    {
        var function = Rows.Function("hello");
        await AddAsync(Rows.Blob(), function);

        await Should.ThrowAsync<DbUpdateConcurrencyException>(() => Store.Catalog.WriteAsync(
            async (db, token) =>
            {
                var entity = await db.Functions.SingleAsync(token);
                db.Entry(entity).Property(found => found.RevisionId).OriginalValue = "stale";
                entity.RevisionId = "new";
                entity.MemoryMb = 256;
                return await db.SaveChangesAsync(token);
            },
            default));
        (await Store.Catalog.ReadAsync((db, token) => db.Functions.SingleAsync(token), default)).MemoryMb.ShouldBe(128);
    }

    [Fact]
    public async Task Deleting_a_function_takes_its_versions_and_aliases_along()
    {
        var function = Rows.Function("hello");
        await AddAsync(Rows.Blob(), function, Rows.Version(function, 1), Rows.Version(function, 2), Rows.Alias(function, "live", 2));

        await Store.Catalog.WriteAsync(
            async (db, token) =>
            {
                db.Functions.Remove(await db.Functions.SingleAsync(token));
                return await db.SaveChangesAsync(token);
            },
            default);

        (await Store.Catalog.ReadAsync((db, token) => db.FunctionVersions.CountAsync(token), default)).ShouldBe(0);
        (await Store.Catalog.ReadAsync((db, token) => db.Aliases.CountAsync(token), default)).ShouldBe(0);
    }

    [Fact]
    public async Task Code_in_use_and_versions_with_aliases_cannot_be_deleted()
    {
        var function = Rows.Function("hello");
        await AddAsync(Rows.Blob(), function, Rows.Version(function, 1), Rows.Alias(function, "live", 1));

        await Should.ThrowAsync<Exception>(() => Store.Catalog.WriteAsync((db, token) => db.CodeBlobs.ExecuteDeleteAsync(token), default));
        await Should.ThrowAsync<Exception>(() => Store.Catalog.WriteAsync((db, token) => db.FunctionVersions.ExecuteDeleteAsync(token), default));
    }

    [Fact]
    public async Task Text_that_a_database_would_alter_is_refused()
    {
        foreach (var text in new[] { "a\0b", "a\ud800", "\udc00a" })
        {
            var function = Rows.Function("hello");
            function.Description = text;
            (await Should.ThrowAsync<ArgumentException>(() => AddAsync(Rows.Blob(), function))).Message.ShouldContain("Description");
        }
    }

    [Fact]
    public async Task A_schedule_reads_back_as_written_also_without_what_it_need_not_have()
    {
        var whole = Rows.Schedule("a");
        var bare = Rows.Schedule("b");
        (bare.Expression, bare.FunctionName, bare.Qualifier, bare.PayloadJson, bare.JobJson) = (null, null, null, null, null);
        (bare.RateMs, bare.NextAt, bare.LastAt, bare.LastInvocationId, bare.LastError, bare.Enabled) = (null, null, null, null, null, false);
        await AddAsync(whole, bare);

        var read = await Store.Catalog.ReadAsync((db, token) => db.Schedules.OrderBy(s => s.Name).ToListAsync(token), default);

        read[0].ShouldBeEquivalentTo(whole);
        read[1].ShouldBeEquivalentTo(bare);
        await Should.ThrowAsync<UniqueKeyException>(() => AddAsync(Rows.Schedule("a")));
        await AddAsync(Rows.Schedule("a", "other"));
    }

    [Fact]
    public async Task Schedules_are_found_by_due_time_and_set_on_where_it_is_still_the_old_one()
    {
        var schedule = Rows.Schedule("a");
        var never = Rows.Schedule("b");
        never.NextAt = null;
        await AddAsync(schedule, never);
        var (due, next) = (schedule.NextAt, schedule.NextAt!.Value.AddMinutes(5));

        (await Store.Catalog.ReadAsync((db, token) => db.Schedules.Where(s => s.NextAt <= due).CountAsync(token), default)).ShouldBe(1);
        (await Store.Catalog.ReadAsync((db, token) => db.Schedules.Where(s => s.NextAt < due).CountAsync(token), default)).ShouldBe(0);
        var moves = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => Store.Catalog.WriteAsync(
            (db, token) => db.Schedules.Where(s => s.Id == schedule.Id && s.NextAt == due).ExecuteUpdateAsync(set => set.SetProperty(s => s.NextAt, next), token), default))));
        moves.Sum().ShouldBe(1);
        (await Store.Catalog.ReadAsync((db, token) => db.Schedules.MinAsync(s => s.NextAt, token), default)).ShouldBe(next);
    }

    [Fact]
    public async Task Dead_letters_are_counted_paged_by_id_and_removed()
    {
        var letters = Enumerable.Range(0, 300).Select(i => new DeadLetterEntity
        {
            TenantId = "default",
            List = i % 3 == 0 ? "b" : "a",
            Id = Guid.CreateVersion7(Rows.Start.AddSeconds(i)),
            FunctionName = i % 2 == 0 ? null : "f",
            ErrorType = "Unhandled",
            AddedAt = Rows.Start.AddMinutes(i),
        }).ToArray();
        await AddAsync([.. letters.Reverse()]);

        var lists = await Store.Catalog.ReadAsync((db, token) => db.DeadLetters.GroupBy(d => d.List).OrderBy(g => g.Key)
            .Select(g => new { g.Key, Count = g.Count(), Oldest = g.Min(d => d.AddedAt) }).ToListAsync(token), default);
        lists.Select(list => (list.Key, list.Count, list.Oldest)).ShouldBe([("a", 200, Rows.Start.AddMinutes(1)), ("b", 100, Rows.Start)]);

        var (middle, expected) = (letters[150].Id, letters.Where(d => d.List == "a").Select(d => d.Id).ToList());
        var older = await Store.Catalog.ReadAsync((db, token) => db.DeadLetters
            .Where(d => d.TenantId == "default" && d.List == "a" && d.Id.CompareTo(middle) < 0).OrderByDescending(d => d.Id).Select(d => d.Id).ToListAsync(token), default);
        older.ShouldBe(expected.Where(id => letters.Take(150).Any(d => d.Id == id)).Reverse());
        var newer = await Store.Catalog.ReadAsync((db, token) => db.DeadLetters
            .Where(d => d.TenantId == "default" && d.List == "a" && d.Id.CompareTo(middle) > 0).OrderBy(d => d.Id).Select(d => d.Id).ToListAsync(token), default);
        newer.Count.ShouldBe(200 - older.Count);
        newer[0].ShouldBe(letters[151].Id);

        var one = letters[1];
        (await Store.Catalog.ReadAsync((db, token) => db.DeadLetters.SingleAsync(d => d.Id == one.Id, token), default)).ShouldBeEquivalentTo(one);
        (await Store.Catalog.WriteAsync((db, token) => db.DeadLetters.Where(d => d.TenantId == "default" && d.List == "a" && d.Id == one.Id).ExecuteDeleteAsync(token), default)).ShouldBe(1);
        (await Store.Catalog.ReadAsync((db, token) => db.DeadLetters.CountAsync(token), default)).ShouldBe(299);
    }

    [Fact]
    public async Task Names_sort_by_bytes()
    {
        await AddAsync(Rows.Blob(), Rows.Function("b"), Rows.Function("B"), Rows.Function("a_"), Rows.Function("a-"), Rows.Function("é"));
        var names = await Store.Catalog.ReadAsync((db, token) => db.Functions.OrderBy(f => f.Name).Select(f => f.Name).ToListAsync(token), default);
        names.ShouldBe(["B", "a-", "a_", "b", "é"]);
    }

    [Fact]
    public async Task Many_parallel_writers_all_commit()
    {
        await AddAsync(Rows.Blob());
        var writers = Enumerable.Range(0, 64).Select(i => Task.Run(() => AddAsync(Rows.Function($"f{i}"))));
        await Task.WhenAll(writers);
        (await CountAsync()).ShouldBe(64);
    }

    [Fact]
    public async Task A_failing_writer_does_not_undo_those_beside_it()
    {
        await AddAsync(Rows.Blob());
        var writers = Enumerable.Range(0, 60).Select(i => Task.Run(() => TryAddAsync(Rows.Function($"f{i % 20}")))).ToList();
        var won = (await Task.WhenAll(writers)).Count(added => added);
        won.ShouldBe(20);
        (await CountAsync()).ShouldBe(20);
    }

    [Fact]
    public async Task A_cancelled_command_is_not_run()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        var ran = false;
        await Should.ThrowAsync<OperationCanceledException>(() => Store.Catalog.WriteAsync(
            (_, _) =>
            {
                ran = true;
                return Task.FromResult(1);
            },
            cancelled.Token));
        ran.ShouldBeFalse();
    }

    [Fact]
    public async Task Ping_answers() => await Store.Database.PingAsync(default);

    private protected Task<int> CountAsync() => Store.Catalog.ReadAsync((db, token) => db.Functions.CountAsync(token), default);

    private protected Task<int> AddAsync(params object[] entities) => Store.Catalog.WriteAsync(
        (db, token) =>
        {
            db.AddRange(entities);
            return db.SaveChangesAsync(token);
        },
        default);

    private async Task<bool> TryAddAsync(FunctionEntity function)
    {
        try
        {
            await AddAsync(function);
            return true;
        }
        catch (UniqueKeyException)
        {
            return false;
        }
    }
}

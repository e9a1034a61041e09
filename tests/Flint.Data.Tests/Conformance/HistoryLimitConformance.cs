using System.Data.Common;
using System.Text.Json;
using Flint.Data.Invocations;
using Flint.Data.Tests.Migrations;

namespace Flint.Data.Tests.Conformance;

/// <summary>What hostile functions may not do to history: fill the disk, swell a list, stop the recording.</summary>
public abstract class HistoryLimitConformance : StoreConformance
{
    private const long Kilobyte = 1024;

    /// <summary>SQL that makes the database refuse such a row from then on.</summary>
    protected abstract string RefuseResultsOf13Bytes { get; }

    [Fact]
    public async Task Bytes_keep_the_newest_of_each_tenant()
    {
        var mine = Sized(10, 10 * Kilobyte);
        var theirs = Sized(3, 10 * Kilobyte, "other");
        await Store.Invocations.AppendAsync([.. mine, .. theirs], default);
        (await PruneAsync(100 * Kilobyte)).ShouldBe(0);
        (await PruneAsync((100 * Kilobyte) - 1)).ShouldBe(1);
        (await PruneAsync(35 * Kilobyte)).ShouldBe(6);
        (await IdsAsync()).ShouldBe(Ids(mine[7..]));
        (await IdsAsync("other")).ShouldBe(Ids(theirs));
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Payload_result_log_and_error_count_in_bytes()
    {
        var row = Rows.Invocation() with
        {
            Payload = new byte[1000],
            Result = new byte[2000],
            Log = new byte[3000],
            ErrorJson = $$"""{"message":"{{new string('é', 2000)}}"}""",
        };
        await Store.Invocations.AppendAsync([row], default);
        (await LinesAsync("SELECT '' || data_bytes FROM invocations")).ShouldBe([$"{6000 + 4000 + 14}"]);
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Byte_pages_delete_the_oldest_first_until_one_is_short()
    {
        var rows = Sized(25, Kilobyte);
        await Store.Invocations.AppendAsync(rows, default);
        (await PruneAsync(5 * Kilobyte, 8)).ShouldBe(8);
        (await IdsAsync()).ShouldBe(Ids(rows[8..]));
        (await PruneAsync(5 * Kilobyte, 8)).ShouldBe(8);
        (await PruneAsync(5 * Kilobyte, 8)).ShouldBe(4);
        (await PruneAsync(5 * Kilobyte, 8)).ShouldBe(0);
        (await IdsAsync()).ShouldBe(Ids(rows[20..]));
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task What_is_queued_or_runs_is_not_deleted_for_bytes()
    {
        var queued = Sized(2, 50 * Kilobyte).ConvertAll(row => row with { Status = "PENDING" });
        queued[1] = queued[1] with { Status = "RUNNING" };
        var finished = Sized(3, Kilobyte, from: Rows.Start.AddSeconds(1));
        await Store.Invocations.AppendAsync([.. queued, .. finished], default);
        (await PruneAsync(10 * Kilobyte)).ShouldBe(3);
        (await IdsAsync()).ShouldBe(Ids(queued));
        (await PruneAsync(0)).ShouldBe(0);
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task A_page_is_filled_by_age_count_and_bytes_together()
    {
        var rows = Sized(20, Kilobyte);
        await Store.Invocations.AppendAsync(rows, default);
        (await Store.Invocations.PruneAsync(new(null, 15, 10 * Kilobyte), Rows.Start, 1000, default)).ShouldBe(10);
        (await IdsAsync()).ShouldBe(Ids(rows[10..]));
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Totals_hold_while_batches_come_twice_and_several_prune()
    {
        var batches = Enumerable.Range(0, 12).Select(i => Sized(20, 100 * (i + 1), i % 3 == 0 ? "other" : "default", Rows.Start.AddSeconds(i))).ToList();
        await Task.WhenAll(batches.Concat(batches).Select(batch => Store.Invocations.AppendAsync(batch, default)).Concat(
            Enumerable.Range(0, 4).Select(_ => PruneAsync(20 * Kilobyte, 15))));
        await TotalsAreRightAsync();
        while (await PruneAsync(20 * Kilobyte, 50) == 50)
        {
        }

        await TotalsAreRightAsync();
        foreach (var tenant in new[] { "default", "other" })
        {
            var kept = long.Parse((await LinesAsync($"SELECT '' || sum(data_bytes) FROM invocations WHERE tenant_id = '{tenant}'"))[0], null);
            kept.ShouldBeInRange(18 * Kilobyte, 20 * Kilobyte);
        }
    }

    [Fact]
    public async Task Lists_carry_errors_cut_and_the_record_has_all()
    {
        var texts = new[] { new string('m', 300_000), new string('"', 100_000), "é🙂" + new string('x', 997) + "🙂🙂", new string('x', 1000), "\0\u0001" };
        var rows = texts.Select((text, i) => Rows.Invocation(Rows.Start.AddMilliseconds(i), status: "FAILED") with { ErrorJson = Error("KeyError", text) }).ToList();
        await Store.Invocations.AppendAsync(rows, default);
        var listed = (await Store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows.Reverse().ToList();
        for (var i = 0; i < rows.Count; i++)
        {
            listed[i].ErrorJson!.Length.ShouldBeLessThan(8000);
            using var error = JsonDocument.Parse(listed[i].ErrorJson!);
            error.RootElement.GetProperty("type").GetString().ShouldBe("Unhandled");
            error.RootElement.GetProperty("name").GetString().ShouldBe("KeyError");
            error.RootElement.GetProperty("stackTrace").GetArrayLength().ShouldBe(0);
            var length = i == 2 ? 1000 : Math.Min(1000, texts[i].Length);
            error.RootElement.GetProperty("message").GetString().ShouldBe(texts[i].Length <= 1000 ? texts[i] : texts[i][..length] + "… [cut]");
            (await Store.Invocations.GetAsync("default", rows[i].Id, default))!.ErrorJson.ShouldBe(rows[i].ErrorJson);
        }
    }

    [Fact]
    public async Task Lists_cut_what_is_still_buffered_alike()
    {
        var row = Rows.Invocation(status: "FAILED") with { ErrorJson = Error(new string('n', 50_000), new string('m', 5000)) };
        await Store.Invocations.AppendAsync([row], default);
        var stored = (await Store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows[0].ErrorJson;
        stored.ShouldBe(InvocationRules.ForList(row).ErrorJson);
        stored.ShouldStartWith($$"""{"type":"Unhandled","name":"{{new string('n', 1000)}}… [cut]","message":"… [cut]",""");
    }

    [Fact]
    public async Task A_row_that_the_database_refuses_is_put_aside_and_the_others_are_whole()
    {
        await LinesAsync(RefuseResultsOf13Bytes);
        var rows = Rows.Invocations(5);
        rows[2] = rows[2] with { Result = new byte[13], Status = "FAILED", ErrorType = "Unhandled" };
        await Task.WhenAll(rows.Select(row => Store.Journal.RecordAsync(row, strict: true, default).AsTask())).WaitAsync(TimeSpan.FromSeconds(60));
        for (var i = 0; i < rows.Count; i++)
        {
            var read = (await Store.Invocations.GetAsync("default", rows[i].Id, default)).ShouldNotBeNull();
            read.Status.ShouldBe(rows[i].Status);
            read.FunctionName.ShouldBe("hello");
            read.Result.HasValue.ShouldBe(i != 2);
            (read.ErrorJson?.Contains("The database refused this record", StringComparison.Ordinal) ?? false).ShouldBe(i == 2);
        }

        var aside = (await Store.Invocations.GetAsync("default", rows[2].Id, default))!;
        aside.Payload.ShouldBeNull();
        aside.Log.ShouldBeNull();
        using var error = JsonDocument.Parse(aside.ErrorJson!);
        error.RootElement.GetProperty("type").GetString().ShouldBe("Unhandled");
    }

    protected abstract Task<DbConnection> ConnectAsync();

    private static string Error(string name, string message) =>
        JsonSerializer.Serialize(new { type = "Unhandled", name, message, stackTrace = new[] { new string('s', 1000), "at b" } });

    /// <summary>Rows whose data is that large, newest last.</summary>
    private static List<InvocationRow> Sized(int count, long bytes, string tenant = "default", DateTimeOffset? from = null) =>
        Rows.Invocations(count, from, tenant).ConvertAll(row => row with { Payload = null, Log = null, Result = new byte[bytes] });

    private Task<int> PruneAsync(long bytes, int page = 1000) => Store.Invocations.PruneAsync(new(null, null, bytes), Rows.Start, page, default);

    private async Task TotalsAreRightAsync() => (await LinesAsync("""
        SELECT t.tenant_id || ' ' || t.data_bytes || ' ' || coalesce((SELECT sum(i.data_bytes) FROM invocations i WHERE i.tenant_id = t.tenant_id), 0)
        FROM invocation_totals t
        """)).ShouldAllBe(line => line.Split(' ', StringSplitOptions.None)[1] == line.Split(' ', StringSplitOptions.None)[2]);

    private async Task<List<string>> IdsAsync(string tenant = "default") =>
        [.. (await Store.Invocations.ListAsync(new() { TenantId = tenant, Limit = 1000 }, default)).Rows.Select(row => row.Id)];

    private static IEnumerable<string> Ids(IEnumerable<InvocationRow> rows) => rows.Select(row => row.Id).Reverse();

    private async Task<List<string>> LinesAsync(string sql)
    {
        await using var connection = await ConnectAsync();
        return await SchemaText.LinesAsync(connection, sql);
    }
}

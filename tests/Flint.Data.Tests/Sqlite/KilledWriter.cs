using Flint.Data.Model;

namespace Flint.Data.Tests.Sqlite;

/// <summary>
/// A process that writes to a SQLite database in every way at once and prints what has been acknowledged, a line each, until it is killed.
/// </summary>
internal static class KilledWriter
{
    public const string Switch = "--killed-writer";

    public static async Task<int> RunAsync(string dataPath)
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = dataPath });
        var output = new object();
        void Acknowledged(string what)
        {
            lock (output)
            {
                Console.Out.WriteLine(what);
                Console.Out.Flush();
            }
        }

        // Ends with the test that started it, should that die first.
        var orphaned = Task.Run(Console.In.ReadToEnd);
        await Task.WhenAny(
            orphaned,
            Forever(async () =>
            {
                var row = Rows.Invocation(TimeProvider.System.GetUtcNow());
                await store.Journal.RecordAsync(row, strict: true, default);
                Acknowledged("row " + row.Id);
            }),
            Forever(async () =>
            {
                var rows = Rows.Invocations(20, TimeProvider.System.GetUtcNow());
                await store.Invocations.AppendAsync(rows, default);
                Acknowledged("row " + rows[^1].Id);
            }),
            Forever(async () =>
            {
                var sha = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Guid.NewGuid().ToByteArray()));
                await store.Blobs.PutAsync("default", sha, new byte[10_000], default);
                await store.Catalog.WriteAsync(
                    (db, token) =>
                    {
                        db.Add(new CodeBlobEntity { TenantId = "default", Sha256 = sha });
                        return db.SaveChangesAsync(token);
                    },
                    default);
                Acknowledged("blob " + sha);
            }));
        return 0;
    }

    private static async Task Forever(Func<Task> step)
    {
        await Task.Yield();
        while (true)
        {
            await step();
        }
    }
}

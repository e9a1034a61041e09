using System.Diagnostics;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data.Tests.Sqlite;

/// <summary>A writing process is killed with SIGKILL, again and again on one database; all that it was told is there afterwards.</summary>
public sealed class KilledProcessTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Everything_acknowledged_survives_a_kill()
    {
        var acknowledged = new List<string>();
        for (var round = 0; round < 3; round++)
        {
            acknowledged.AddRange(await WriteUntilKilledAsync(60 + (round * 41)));
        }

        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path });
        foreach (var line in acknowledged)
        {
            (await IsThereAsync(store, line)).ShouldBeTrue(line);
        }

        acknowledged.Count(line => line.StartsWith("row ", StringComparison.Ordinal)).ShouldBeGreaterThan(50);
        acknowledged.ShouldContain(line => line.StartsWith("blob ", StringComparison.Ordinal));
        await using var connection = new SqliteConnection($"Data Source={_directory.File("flint.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync();
        await using var check = connection.CreateCommand();
        check.CommandText = "PRAGMA integrity_check";
        (await check.ExecuteScalarAsync()).ShouldBe("ok");
    }

    /// <summary>Kills it after so many acknowledgements; those printed before it died count.</summary>
    private async Task<List<string>> WriteUntilKilledAsync(int count)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [.. Assembly(), KilledWriter.Switch, _directory.Path]) { RedirectStandardOutput = true, RedirectStandardInput = true };
        using var process = Process.Start(start)!;
        var lines = new List<string>();
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            // The last line may be cut.
            if (line.Length is not (40 or 69))
            {
                break;
            }

            lines.Add(line);
            if (lines.Count == count)
            {
                process.Kill();
            }
        }

        await process.WaitForExitAsync();
        process.ExitCode.ShouldBe(137);
        return lines;
    }

    private static async Task<bool> IsThereAsync(TestStore store, string line)
    {
        var name = line[(line.IndexOf(' ') + 1)..];
        if (line.StartsWith("row ", StringComparison.Ordinal))
        {
            return await store.Invocations.GetAsync("default", name, default) is { Result: not null };
        }

        await using var bytes = await store.Blobs.OpenAsync("default", name, default);
        return bytes is { Length: 10_000 } && await store.Catalog.ReadAsync((db, token) => db.CodeBlobs.AnyAsync(blob => blob.Sha256 == name, token), default);
    }

    /// <summary>Under <c>dotnet x.dll</c> the process is the host, which wants the assembly.</summary>
    private static string[] Assembly() =>
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? [typeof(KilledProcessTests).Assembly.Location] : [];
}

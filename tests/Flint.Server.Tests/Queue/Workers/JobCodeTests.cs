using System.Diagnostics.CodeAnalysis;
using System.Text;
using Flint.Server.Packages;
using Flint.Server.Queue.Workers;
using Flint.Server.Services;
using Flint.Server.Tests.Packages;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Queue.Workers;

[SuppressMessage("Reliability", "CA2000:Dispose objects before losing scope", Justification = "Leases are given back where the test says so.")]
public sealed class JobCodeTests : IDisposable
{
    private static readonly byte[] Source = "function main() {}"u8.ToArray();
    private readonly string _path = Directory.CreateTempSubdirectory("flint-jobcode-").FullName;
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task A_file_lies_in_a_directory_of_its_own_and_any_user_can_read_it()
    {
        using var code = Start();
        using var lease = await RentAsync(code);
        Path.GetFileName(lease.Directory).ShouldBe($"job-default-{lease.Hash}-1");
        Path.GetDirectoryName(lease.Directory).ShouldBe(Path.Combine(_path, "code"));
        File.ReadAllBytes(Path.Combine(lease.Directory, "main.js")).ShouldBe(Source);
        Mode(lease.Directory).ShouldBe("755");
        Mode(Path.Combine(lease.Directory, "main.js")).ShouldBe("644");
    }

    [Fact]
    public async Task A_zip_is_unpacked()
    {
        using var code = Start();
        var zip = new ZipBuilder().Add("main.js", "1").Add("lib/a.js", "2").Build();
        using var lease = await code.RentAsync("default", null, zip, CancellationToken.None);
        File.ReadAllText(Path.Combine(lease.Directory, "lib/a.js")).ShouldBe("2");
        Mode(lease.Directory).ShouldBe("755");
    }

    [Fact]
    public async Task Equal_jobs_share_one_directory_and_other_names_tenants_and_kinds_do_not()
    {
        using var code = Start();
        var leases = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Task.Run(() => RentAsync(code).AsTask())));
        leases.Select(lease => lease.Directory).Distinct().Count().ShouldBe(1);
        code.Kept.Entries.ShouldBe(1);
        var others = new[]
        {
            await code.RentAsync("default", "main.mjs", Source, CancellationToken.None),
            await code.RentAsync("other", "main.js", Source, CancellationToken.None),
            await RentAsync(code, "other source"),
        };
        others.Select(lease => lease.Directory).Append(leases[0].Directory).Distinct().Count().ShouldBe(4);
    }

    [Fact]
    public async Task The_longest_unused_goes_first_and_what_is_in_use_never()
    {
        using var code = Start(new WorkerOptions { MaxJobCodes = 3 });
        var used = await RentAsync(code, "used");
        var a = await KeepAsync(code, "a");
        var b = await KeepAsync(code, "b");
        // Asked for again, so that b is the oldest.
        await KeepAsync(code, "a");
        await KeepAsync(code, "c");
        await RunAsync(code);
        Directory.Exists(b).ShouldBeFalse();
        Directory.Exists(a).ShouldBeTrue();
        Directory.Exists(used.Directory).ShouldBeTrue();
        code.Kept.Entries.ShouldBe(3);

        // All in use: more than the limit are kept until they are given back.
        var many = await Task.WhenAll(Enumerable.Range(0, 5).Select(n => RentAsync(code, $"many {n}").AsTask()));
        many.ShouldAllBe(lease => Directory.Exists(lease.Directory));
        Array.ForEach(many, lease => lease.Dispose());
        used.Dispose();
        code.Kept.Entries.ShouldBe(3);
        await RunAsync(code);
        Left().Length.ShouldBe(3);
    }

    [Fact]
    public async Task Bytes_are_bounded_too()
    {
        using var code = Start(new WorkerOptions { MaxJobCodeMegabytes = 1 });
        for (var n = 0; n < 10; n++)
        {
            await KeepAsync(code, new string((char)('a' + n), 300_000));
        }

        code.Kept.Bytes.ShouldBeLessThanOrEqualTo(1 << 20);
        code.Kept.Entries.ShouldBe(3);
    }

    [Fact]
    public async Task Given_back_twice_counts_once()
    {
        using var code = Start(new WorkerOptions { MaxJobCodes = 1 });
        var (first, second) = (await RentAsync(code), await RentAsync(code));
        first.Dispose();
        first.Dispose();
        await KeepAsync(code, "another");
        Directory.Exists(second.Directory).ShouldBeTrue();
    }

    [Fact]
    public async Task What_was_put_out_and_is_not_removed_yet_is_in_nobodys_way()
    {
        using var code = Start(new WorkerOptions { MaxJobCodes = 1 });
        var directory = await KeepAsync(code, "a");
        await KeepAsync(code, "b");
        var again = await KeepAsync(code, "a");
        again.ShouldNotBe(directory);
        await RunAsync(code);
        File.ReadAllText(Path.Combine(again, "main.js")).ShouldBe("a");
        Left().ShouldBe([again]);
    }

    [Fact]
    public async Task A_bad_zip_leaves_nothing_and_can_be_asked_for_again()
    {
        using var code = Start();
        for (var tries = 0; tries < 2; tries++)
        {
            await Should.ThrowAsync<RefusedException>(code.RentAsync("default", null, "no zip"u8.ToArray(), CancellationToken.None).AsTask());
        }

        await RunAsync(code);
        Left().ShouldBeEmpty();
        code.Kept.ShouldBe((0, 0L));
    }

    [Fact]
    public async Task What_an_earlier_process_left_is_removed_and_functions_code_is_not()
    {
        using (var code = Start())
        {
            await RentAsync(code, "left behind");
        }

        var package = Directory.CreateDirectory(Path.Combine(_path, "code", "default-0123")).FullName;
        using var next = Start();
        // The same source, while the old one is still there and half of it may be missing.
        var again = await KeepAsync(next, "left behind");
        Left().Length.ShouldBe(2);
        await RunAsync(next);
        Left().ShouldBe([again]);
        File.ReadAllText(Path.Combine(again, "main.js")).ShouldBe("left behind");
        Directory.Exists(package).ShouldBeTrue();
    }

    [Fact]
    public async Task The_code_cache_leaves_jobs_alone_however_old_they_are()
    {
        var cache = Cache();
        using var code = Start();
        var directory = await KeepAsync(code, "a");
        var package = Directory.CreateDirectory(Path.Combine(_path, "code", "default-0123")).FullName;
        cache.RemoveUnused(new HashSet<string>(), CancellationToken.None);
        _time.Advance(TimeSpan.FromDays(1));
        cache.RemoveUnused(new HashSet<string>(), CancellationToken.None).ShouldBe(1);
        Directory.Exists(directory).ShouldBeTrue();
        Directory.Exists(package).ShouldBeFalse();
    }

    [Fact]
    public async Task Many_at_once_over_few_places_always_find_their_own_source()
    {
        using var code = Start(new WorkerOptions { MaxJobCodes = 2 });
        await code.StartAsync(CancellationToken.None);
        await Parallel.ForEachAsync(Enumerable.Range(0, 2000), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (n, _) =>
        {
            var source = $"source {n % 7}";
            using var lease = await RentAsync(code, source);
            (await File.ReadAllTextAsync(Path.Combine(lease.Directory, "main.js"), CancellationToken.None)).ShouldBe(source);
        });
        code.Kept.Entries.ShouldBeLessThanOrEqualTo(2);
        await code.StopAsync(CancellationToken.None);
    }

    public void Dispose() => Directory.Delete(_path, recursive: true);

    private CodeCache Cache() =>
        new(_path, null!, new PackagesOptions(), _time, NullLogger<CodeCache>.Instance);

    private JobCode Start(WorkerOptions? options = null)
    {
        var cache = Cache();
        cache.Start();
        var code = new JobCode(cache, options ?? new WorkerOptions(), new PackagesOptions(), TimeProvider.System, NullLogger<JobCode>.Instance);
        code.Clear();
        return code;
    }

    private static ValueTask<JobCodeLease> RentAsync(JobCode code, string? source = null) =>
        code.RentAsync("default", "main.js", source is null ? Source : Encoding.UTF8.GetBytes(source), CancellationToken.None);

    /// <summary>Rents and gives back; where it lies.</summary>
    private static async Task<string> KeepAsync(JobCode code, string source)
    {
        using var lease = await RentAsync(code, source);
        return lease.Directory;
    }

    private static Task RunAsync(JobCode code) => code.RunOnceAsync(CancellationToken.None);

    private string[] Left() => Directory.GetDirectories(Path.Combine(_path, "code"), "job-*");

    private static string Mode(string path) => Convert.ToString((int)File.GetUnixFileMode(path), 8);
}

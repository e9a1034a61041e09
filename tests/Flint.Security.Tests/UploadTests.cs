using Flint.Security.Tests.Harness;
using Flint.Security.Tests.Uploads;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Security.Tests;

/// <summary>Group 14: what the server makes of hostile archives. Refusals are checked before anything is written and again while unpacking.</summary>
public sealed class UploadTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly PackagesOptions _limits = new();
    private readonly string _outside = Directory.CreateTempSubdirectory("flint-upload-").FullName;
    private readonly string _inside;

    public UploadTests() => _inside = Directory.CreateDirectory(Path.Combine(_outside, "inside")).FullName;

    public static IEnumerable<TheoryDataRow<string>> Names => HostileArchives.All.Keys.Select(static name => new TheoryDataRow<string>(name));

    public static IEnumerable<TheoryDataRow<string>> Escaping => HostileArchives.Escaping.Keys.Select(static name => new TheoryDataRow<string>(name));

    public void Dispose() => Directory.Delete(_outside, recursive: true);

    [Fact]
    public async Task The_control_is_taken_and_unpacks_to_what_it_says()
    {
        var zip = HostileZip.Write(
            new HostileEntry("main.py", "print()"),
            new HostileEntry("pkg/tool"u8.ToArray(), new byte[100_000]) { Deflated = true, Mode = 0x8FFF },
            HostileEntry.Link("bin/tool", "../pkg/tool"));

        await PackageUnpacker.CheckAsync(zip, _limits, CancellationToken.None);
        await PackageUnpacker.UnpackAsync(zip, _inside, _limits, CancellationToken.None);

        (await File.ReadAllTextAsync(Path.Combine(_inside, "main.py"))).ShouldBe("print()");
        new FileInfo(Path.Combine(_inside, "bin/tool")).ResolveLinkTarget(returnFinalTarget: true)!.FullName.ShouldBe(Path.Combine(_inside, "pkg/tool"));
        var mode = File.GetUnixFileMode(Path.Combine(_inside, "pkg/tool"));
        (mode & (UnixFileMode.SetUser | UnixFileMode.SetGroup | UnixFileMode.StickyBit | UnixFileMode.OtherWrite)).ShouldBe(UnixFileMode.None);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task The_archive_is_refused(string name)
    {
        var zip = HostileArchives.All[name]();
        await using var memory = new MemoryWatch();

        var refused = await Should.ThrowAsync<RefusedException>(PackageUnpacker.CheckAsync(zip, _limits, CancellationToken.None).WaitAsync(Patience));
        // Deployed code is unpacked with its limits lifted, so unpacking must hold without them, as far as it is not a matter of size.
        await Should.ThrowAsync<RefusedException>(PackageUnpacker.UnpackAsync(zip, _inside, _limits, CancellationToken.None).WaitAsync(Patience));

        refused.Message.Where(char.IsControl).ShouldBeEmpty();
        (refused.Entry ?? "").Where(char.IsControl).ShouldBeEmpty();
        Directory.GetFileSystemEntries(_outside).ShouldBe([_inside]);
        File.Exists("/tmp/flint-escaped").ShouldBeFalse();
        Written().ShouldBeLessThan(_limits.MaxUnzippedBytes);
        await memory.ShouldHaveStayedFlatAsync(heapMb: 48);
    }

    [Theory]
    [MemberData(nameof(Escaping))]
    public void Without_checks_it_would_have_written_outside(string name)
    {
        HostileZip.UnpackWithoutChecks(HostileArchives.All[name](), _inside);

        var escaped = Path.Combine(_outside, HostileArchives.Escaping[name]);
        File.Exists(escaped).ShouldBeTrue();
        File.Delete(escaped);
    }

    [Fact]
    public async Task A_bomb_that_claims_to_be_small_is_stopped_while_it_is_unpacked()
    {
        var zip = HostileArchives.All["bomb that claims to be small"]();

        await Should.ThrowAsync<RefusedException>(PackageUnpacker.UnpackAsync(zip, _inside, _limits, CancellationToken.None));

        Written().ShouldBeLessThan(2_000_000);
    }

    [Fact]
    public async Task Links_that_are_long_to_follow_do_not_take_long_to_check()
    {
        // Each link passes through the next forty, whose targets all go on for two thousand steps.
        var tail = string.Concat(Enumerable.Repeat("/a", 2000));
        var links = Enumerable.Range(0, 40).Select(number => Follow($"l{number}", $"l{number + 1}{tail}")).ToList();
        links.AddRange(Enumerable.Range(0, 2000).Select(number => Follow($"m{number}", $"l1{tail}")));
        var zip = HostileZip.Write(links);
        zip.Length.ShouldBeLessThan(1_000_000);

        // Whether it is refused or taken does not matter; how long it takes does.
        var check = Task.Run(() => PackageUnpacker.CheckAsync(zip, _limits, CancellationToken.None));
        (await Task.WhenAny(check, Task.Delay(Patience))).ShouldBe(check, "the check of a small archive takes too long");
        await check.ContinueWith(static _ => { }, TaskScheduler.Default);

        static HostileEntry Follow(string name, string target) =>
            new(System.Text.Encoding.ASCII.GetBytes(name), System.Text.Encoding.ASCII.GetBytes(target)) { Mode = 0xA1FF, Deflated = true };
    }

    private long Written() => Directory.EnumerateFiles(_inside, "*", SearchOption.AllDirectories).Sum(static path => new FileInfo(path).Length);
}

using System.IO.Compression;
using System.Text;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Tests.Packages;

public sealed class PackageTests
{
    private static readonly PackagesOptions Small = new()
    {
        MaxZipBytes = 64 * 1024,
        MaxUnzippedBytes = 4 * 1024 * 1024,
        MaxEntries = 50,
        MaxNameBytes = 100,
        MaxDepth = 8,
        MaxCompressionRatio = 100,
    };

    /// <summary>Attack, archive, expected code. The control for each is <see cref="An_honest_package_unpacks"/>.</summary>
    public static TheoryData<string, string> Attacks()
    {
        var data = new TheoryData<string, string>();
        foreach (var (name, (code, _)) in Archives)
        {
            data.Add(name, code);
        }

        return data;
    }

    private static readonly Dictionary<string, (string Code, Func<byte[]> Make)> Archives = new()
    {
        ["zip-slip"] = ("unsafe_entry_name", () => new ZipBuilder().Add("../evil.py", "x").Build()),
        ["zip-slip inside"] = ("unsafe_entry_name", () => new ZipBuilder().Add("a/../../evil.py", "x").Build()),
        ["absolute"] = ("unsafe_entry_name", () => new ZipBuilder().Add("/etc/passwd", "x").Build()),
        ["drive letter"] = ("unsafe_entry_name", () => new ZipBuilder().Add("C:evil.py", "x").Build()),
        ["backslash"] = ("unsafe_entry_name", () => new ZipBuilder().Add("..\\evil.py", "x").Build()),
        ["NUL"] = ("unsafe_entry_name", () => new ZipBuilder().Add("main.py\0.txt", "x").Build()),
        ["control character"] = ("unsafe_entry_name", () => new ZipBuilder().Add("a\u001b[31m.py", "x").Build()),
        ["newline"] = ("unsafe_entry_name", () => new ZipBuilder().Add("a\nb", "x").Build()),
        ["empty name"] = ("unsafe_entry_name", () => new ZipBuilder().Add("", "x").Build()),
        ["empty component"] = ("unsafe_entry_name", () => new ZipBuilder().Add("a//b", "x").Build()),
        ["dot component"] = ("unsafe_entry_name", () => new ZipBuilder().Add("a/./b", "x").Build()),
        ["not UTF-8"] = ("unsafe_entry_name", () => new ZipBuilder().Add([0xff, 0xfe], [1]).Build()),
        ["component too long"] = ("entry_name_too_long", () => new ZipBuilder().Add(new string('n', 101), "x").Build()),
        ["30 KB name"] = ("entry_name_too_long", () => new ZipBuilder().Add(new string('n', 30_000), "x").Build()),
        ["too deep"] = ("entry_too_deep", () => new ZipBuilder().Add("a/b/c/d/e/f/g/h/i", "x").Build()),
        ["duplicate"] = ("duplicate_entry", () => new ZipBuilder().Add("main.py", "1").Add("main.py", "2").Build()),
        ["duplicate directory"] = ("duplicate_entry", () => new ZipBuilder().Add("d/", mode: 0x41ED).Add("d/", mode: 0x41ED).Build()),
        ["file as directory"] = ("entry_through_link_or_file", () => new ZipBuilder().Add("a", "1").Add("a/b", "2").Build()),
        ["directory as file"] = ("duplicate_entry", () => new ZipBuilder().Add("a/b", "2").Add("a", "1").Build()),
        ["file through a link"] = ("entry_through_link_or_file", () => new ZipBuilder().Link("d", "/etc").Add("d/passwd", "x").Build()),
        ["link behind the file"] = ("duplicate_entry", () => new ZipBuilder().Add("d/passwd", "x").Link("d", "/etc").Build()),
        ["absolute link"] = ("unsafe_link", () => new ZipBuilder().Link("l", "/etc/passwd").Build()),
        ["leaving link"] = ("unsafe_link", () => new ZipBuilder().Link("a/l", "../../x").Build()),
        ["link through links"] = ("unsafe_link", () => new ZipBuilder().Link("x/y/l", "../..").Link("m", "x/y/l/..").Build()),
        ["link in circles"] = ("unsafe_link", () => new ZipBuilder().Link("a", "b").Link("b", "a").Build()),
        ["empty link"] = ("unsafe_link", () => new ZipBuilder().Link("a", "").Build()),
        ["link with NUL"] = ("unsafe_link", () => new ZipBuilder().Link("a", "b\0c").Build()),
        ["endless link"] = ("unsafe_link", () => new ZipBuilder().Link("a", new string('x', 5000)).Build()),
        ["too many implied directories"] = ("too_many_entries", () => Enumerable.Range(0, 10)
            .Aggregate(new ZipBuilder(), (zip, i) => zip.Add($"{i}/b/c/d/e/f", "x")).Build()),
        ["device"] = ("unsupported_entry_type", () => new ZipBuilder().Add("null", "", 0x21B6).Build()),
        ["block device"] = ("unsupported_entry_type", () => new ZipBuilder().Add("sda", "", 0x61B6).Build()),
        ["fifo"] = ("unsupported_entry_type", () => new ZipBuilder().Add("pipe", "", 0x11B6).Build()),
        ["socket"] = ("unsupported_entry_type", () => new ZipBuilder().Add("sock", "", 0xC1B6).Build()),
        ["hard link"] = ("unsupported_entry_type", () => new ZipBuilder()
            .Add("hard", "", lie: item => item.Extra = [0x0d, 0, 14, 0, .. new byte[12], (byte)'/', (byte)'x']).Build()),
        ["encrypted"] = ("encrypted_entry", () => new ZipBuilder().Add("a", "x", lie: item => item.Flags = 1).Build()),
        ["strange method"] = ("unsupported_compression", () => new ZipBuilder().Add("a", "x", lie: item => item.Method = 14).Build()),
        ["bomb"] = ("compression_ratio", () => new ZipBuilder().Add("a"u8.ToArray(), new byte[3 * 1024 * 1024], deflate: true).Build()),
        ["sum too large"] = ("unzipped_too_large", () => Enumerable.Range(0, 5)
            .Aggregate(new ZipBuilder(), (zip, i) => zip.Add(Encoding.ASCII.GetBytes($"f{i}"), new byte[1024 * 1024], deflate: true)).Build()),
        ["claims little, holds much"] = ("invalid_zip", () => new ZipBuilder()
            .Add("a"u8.ToArray(), new byte[3 * 1024 * 1024], deflate: true, lie: item => item.Size = 10).Build()),
        ["claims much, holds little"] = ("invalid_zip", () => new ZipBuilder().Add("a"u8.ToArray(), new byte[10], deflate: true, lie: item => item.Size = 1000).Build()),
        ["stored with two sizes"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello", lie: item => item.Size = 4).Build()),
        ["wrong checksum"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello", lie: item => item.Crc = 1).Build()),
        ["damaged deflate"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello hello", deflate: true, lie: item => item.Data[0] ^= 0xff).Build()),
        ["headers disagree on the name"] = ("invalid_zip", () => new ZipBuilder().Add("good.py", "x", lie: item => item.LocalName = "evil.py"u8.ToArray()).Build()),
        ["headers disagree on the size"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello", lie: item => item.LocalSize = 9).Build()),
        ["overlapping entries"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello").Add("a", "hello", lie: item => item.OffsetOf = 0).Add("b", "x").Build()),
        ["zip64 lie"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello", lie: item =>
        {
            item.Size = uint.MaxValue;
            item.LocalSize = 5;
            item.Extra = [1, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];
        }).Build()),
        ["zip64 without its field"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello", lie: item => item.Size = uint.MaxValue).Build()),
        ["zip64 directory"] = ("zip64_unsupported", () => new ZipBuilder { Count = 65535 }.Add("a", "x").Build()),
        ["fewer entries than counted"] = ("invalid_zip", () => new ZipBuilder { Count = 2 }.Add("a", "x").Build()),
        ["more entries than counted"] = ("invalid_zip", () => new ZipBuilder { Count = 1 }.Add("a", "x").Add("b", "x").Build()),
        ["too many entries"] = ("too_many_entries", () => Enumerable.Range(0, 51).Aggregate(new ZipBuilder(), (zip, i) => zip.Add($"f{i}")).Build()),
        ["bytes before"] = ("invalid_zip", () => new ZipBuilder { Before = "#!/bin/sh\n"u8.ToArray() }.Add("a", "x").Build()),
        ["bytes between"] = ("invalid_zip", () => new ZipBuilder { BeforeDirectory = new byte[10] }.Add("a", "x").Build()),
        ["bytes behind"] = ("invalid_zip", () => new ZipBuilder { After = [1, 2, 3] }.Add("a", "x").Build()),
        ["no entries"] = ("empty_package", () => new ZipBuilder().Build()),
        ["no zip"] = ("invalid_zip", () => "hello"u8.ToArray()),
        ["empty"] = ("invalid_zip", () => []),
        ["cut off"] = ("invalid_zip", () => new ZipBuilder().Add("a", "hello").Build()[..^5]),
        ["zip too large"] = ("zip_too_large", () => new ZipBuilder().Add("a"u8.ToArray(), new byte[70 * 1024]).Build()),
    };

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task An_attack_is_refused_by_name_and_writes_nothing_outside(string attack, string code)
    {
        var zip = Archives[attack].Make();
        var refused = await Should.ThrowAsync<RefusedException>(() => PackageUnpacker.CheckAsync(zip, Small, CancellationToken.None));
        refused.Code.ShouldBe(code, refused.Message);
        (refused.Entry ?? "").All(c => c is >= ' ' and < '\x7f').ShouldBeTrue();

        using var directory = new TemporaryDirectory();
        var inner = Directory.CreateDirectory(Path.Combine(directory.Path, "inner")).FullName;
        await Should.ThrowAsync<RefusedException>(() => PackageUnpacker.UnpackAsync(zip, inner, Small, CancellationToken.None));
        Directory.GetFileSystemEntries(directory.Path).ShouldBe([inner]);
    }

    [Fact]
    public async Task An_honest_package_unpacks()
    {
        var zip = new ZipBuilder()
            .Add("main.py", "print(1)", deflate: true)
            .Add("bin/tool", "#!/bin/sh", 0x8000 | 0xFED)
            .Add("lib/", mode: 0x41C0)
            .Add("lib/deep/er/x.txt", "x")
            .Link("node_modules/.bin/tool", "../../bin/tool")
            .Link("here", "lib/deep")
            .Link("dangling", "not/there")
            .Add("Readme", "a").Add("README", "b")
            .Build();
        using var directory = new TemporaryDirectory();
        await PackageUnpacker.UnpackAsync(zip, directory.Path, Small, CancellationToken.None);
        File.ReadAllText(directory.In("main.py")).ShouldBe("print(1)");
        File.ReadAllText(directory.In("node_modules/.bin/tool")).ShouldBe("#!/bin/sh");
        File.ReadAllText(directory.In("here/er/x.txt")).ShouldBe("x");
        Mode("main.py").ShouldBe("644");
        // The set-id and sticky bits of 07755 are gone.
        Mode("bin/tool").ShouldBe("755");
        Mode("lib").ShouldBe("755");
        Mode("lib/deep").ShouldBe("755");

        string Mode(string path) => Convert.ToString((int)File.GetUnixFileMode(directory.In(path)), 8);
    }

    [Fact]
    public async Task What_dotnet_and_streaming_writers_make_is_taken()
    {
        var memory = new MemoryStream();
        using (var archive = new ZipArchive(new Unseekable(memory), ZipArchiveMode.Create))
        {
            using var entry = archive.CreateEntry("main.py").Open();
            entry.Write("print(1)"u8);
        }

        using var directory = new TemporaryDirectory();
        await PackageUnpacker.UnpackAsync(memory.ToArray(), directory.Path, Small, CancellationToken.None);
        File.ReadAllText(directory.In("main.py")).ShouldBe("print(1)");
    }

    [Fact]
    public async Task Inline_code_packs_to_the_same_bytes_always()
    {
        var first = InlineCode.Pack("x = 'é'", "python3.11", "app/main.handler", Small);
        first.ShouldBe(InlineCode.Pack("x = 'é'", "python3.11", "app/main.handler", Small));
        using var directory = new TemporaryDirectory();
        await PackageUnpacker.UnpackAsync(first, directory.Path, Small, CancellationToken.None);
        File.ReadAllText(directory.In("app/main.py")).ShouldBe("x = 'é'");
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(InlineCode.Pack("1", "python3.11", "main.handler", Small)))
            .ShouldBe(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(InlineCode.Pack("1", "python3.11", "main.handler", Small))));
    }

    [Theory]
    [InlineData("exports.handler = async () => 1;", false)]
    [InlineData("export const handler = async () => 1;", true)]
    [InlineData("import fs from 'fs'; export async function handler() {}", true)]
    [InlineData("import 'x'\nmodule.exports = 1", true)]
    [InlineData("const fs = await import('fs'); exports.handler = 1;", false)]
    [InlineData("// export const a = 1\nexports.handler = 1", false)]
    [InlineData("/* import x from 'y' */ exports.handler = 1", false)]
    [InlineData("const s = 'export default 1'; const t = \"import x\"; exports.handler = 1", false)]
    [InlineData("const t = `export ${ `import ${1} }` } export`; exports.handler = 1", false)]
    [InlineData("const r = /[/`'\"] export /; exports.handler = 1", false)]
    [InlineData("const o = { export: 1, import: 2 }; o.export = o.import; exports.handler = 1", false)]
    [InlineData("function f() { return 1 / 2 } /'/.test('x'); exports.handler = f", false)]
    [InlineData("const here = import.meta.url;", true)]
    public void Es_modules_are_told_from_scripts(string source, bool isModule)
    {
        EcmaScriptSyntax.IsModule(source).ShouldBe(isModule);
        InlineCode.FileName(source, "nodejs20", "src/index.handler").ShouldBe(isModule ? "src/index.mjs" : "src/index.js");
    }

    private sealed class Unseekable(Stream inner) : Stream
    {
        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() => inner.Flush();
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);
    }
}

internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("flint-package-").FullName;

    public string In(string path) => System.IO.Path.Combine(Path, path);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

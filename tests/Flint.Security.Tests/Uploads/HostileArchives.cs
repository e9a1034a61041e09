using System.Text;

namespace Flint.Security.Tests.Uploads;

/// <summary>Group 14: archives that are to be refused, by name, each with what was meant to happen.</summary>
internal static class HostileArchives
{
    public static IReadOnlyDictionary<string, Func<byte[]>> All { get; } = new Dictionary<string, Func<byte[]>>(StringComparer.Ordinal)
    {
        ["zip-slip"] = () => HostileZip.Write(new HostileEntry("../escaped")),
        ["zip-slip within a path"] = () => HostileZip.Write(new HostileEntry("a/../../escaped")),
        ["absolute path"] = () => HostileZip.Write(new HostileEntry("/tmp/flint-escaped")),
        ["drive letter"] = () => HostileZip.Write(new HostileEntry("C:/escaped")),
        ["backslashes"] = () => HostileZip.Write(new HostileEntry("..\\escaped")),
        ["doubled slash"] = () => HostileZip.Write(new HostileEntry("a//b")),
        ["dot component"] = () => HostileZip.Write(new HostileEntry("a/./b")),
        ["empty name"] = () => HostileZip.Write(new HostileEntry("")),
        ["NUL in a name"] = () => HostileZip.Write(new HostileEntry("a\0b")),
        ["escape sequence in a name"] = () => HostileZip.Write(new HostileEntry("a\u001b[2Jb")),
        ["invalid UTF-8 in a name"] = () => HostileZip.Write(new HostileEntry([0x61, 0xff, 0xfe], [1])),
        ["name of 64 KB"] = () => HostileZip.Write(new HostileEntry(new string('n', 65_000))),
        ["component that no file system takes"] = () => HostileZip.Write(new HostileEntry(new string('n', 300))),
        ["tree of 300 levels"] = () => HostileZip.Write(new HostileEntry(string.Join('/', Enumerable.Repeat("d", 300)))),
        ["same name twice"] = () => HostileZip.Write(new HostileEntry("main.py"), new HostileEntry("main.py", "evil")),
        ["file beneath a file"] = () => HostileZip.Write(new HostileEntry("a"), new HostileEntry("a/b")),
        ["file through a link of the same archive"] = () => HostileZip.Write(HostileEntry.Link("out", ".."), new HostileEntry("out/escaped")),
        ["link that leaves the archive"] = () => HostileZip.Write(HostileEntry.Link("out", "../../etc")),
        ["absolute link"] = () => HostileZip.Write(HostileEntry.Link("out", "/etc/passwd")),
        ["links that leave together"] = () => HostileZip.Write(HostileEntry.Link("a/b", ".."), HostileEntry.Link("c", "a/b/../..")),
        ["links in circles"] = () => HostileZip.Write(HostileEntry.Link("a", "b"), HostileEntry.Link("b", "a")),
        ["link with NUL"] = () => HostileZip.Write(HostileEntry.Link("a", "b\0c")),
        ["link with an endless target"] = () => HostileZip.Write(HostileEntry.Link("a", new string('b', 100_000))),
        ["FIFO"] = () => HostileZip.Write(new HostileEntry("fifo") { Mode = 0x11A4 }),
        ["character device"] = () => HostileZip.Write(new HostileEntry("device") { Mode = 0x21B6 }),
        ["block device"] = () => HostileZip.Write(new HostileEntry("device") { Mode = 0x61B6 }),
        ["socket"] = () => HostileZip.Write(new HostileEntry("socket") { Mode = 0xC1A4 }),
        ["hard link"] = () => HostileZip.Write(new HostileEntry("hard") { Extra = [0x0d, 0, 16, 0, .. new byte[12], .. "/etc"u8] }),
        ["bomb of zeros"] = () => HostileZip.Write(new HostileEntry("bomb"u8.ToArray(), new byte[40 << 20]) { Deflated = true }),
        ["bomb that claims to be small"] = () => HostileZip.Write(
            new HostileEntry("bomb"u8.ToArray(), new byte[40 << 20]) { Deflated = true, ClaimedSize = 900_000 }),
        ["entry that claims 4 GiB"] = () => HostileZip.Write(new HostileEntry("bomb", "tiny") { ClaimedSize = 0xFFFF_FFFE, Deflated = true }),
        ["entry that claims the 64-bit form without it"] = () => HostileZip.Write(new HostileEntry("bomb", "tiny") { ClaimedSize = uint.MaxValue, Deflated = true }),
        ["many entries over one content"] = () => HostileZip.Write(
            [new HostileEntry("kernel"u8.ToArray(), new byte[900_000]) { Deflated = true },
             .. Enumerable.Range(0, 250).Select(static number => new HostileEntry(Encoding.ASCII.GetBytes($"e{number}"), new byte[900_000])
                 { Deflated = true, SharesFirstEntrysData = true })]),
        ["more in all than is taken"] = () => HostileZip.Write(
            [.. Enumerable.Range(0, 300).Select(static number => new HostileEntry(Encoding.ASCII.GetBytes($"e{number}"), new byte[1_000_000]) { Deflated = true })]),
        ["two headers that disagree on the name"] = () => HostileZip.Write(new HostileEntry("main.py") { LocalName = "../e.py"u8.ToArray() }),
        ["encrypted entry"] = () => HostileZip.Write(new HostileEntry("main.py") { Flags = 1 }),
        ["unknown compression"] = () => HostileZip.Write(new HostileEntry("main.py") { Method = 99 }),
        ["wrong checksum"] = () => HostileZip.Write(new HostileEntry("main.py") { ClaimedCrc = 1 }),
        ["compressed garbage"] = () => HostileZip.Write(new HostileEntry("main.py", "\u0007garbage, not deflate") { Method = 8 }),
        ["bytes before"] = () => [.. "#!/bin/sh\n"u8, .. HostileZip.Write(new HostileEntry("main.py"))],
        ["bytes behind"] = () => [.. HostileZip.Write(new HostileEntry("main.py")), .. "trailer"u8],
        ["cut off"] = () => HostileZip.Write(new HostileEntry("main.py"))[..^10],
        ["no zip at all"] = () => [.. "\u007fELF and more"u8],
        ["nothing"] = () => [],
        ["no entries"] = () => HostileZip.Write(),
    };

    /// <summary>Those among them that write outside when they are unpacked without checks: name and the file that appears.</summary>
    public static IReadOnlyDictionary<string, string> Escaping { get; } = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["zip-slip"] = "escaped",
        ["file through a link of the same archive"] = "escaped",
        ["absolute path"] = "/tmp/flint-escaped",
    };
}

using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Flint.Server.Packages;

namespace Flint.Security.Tests.Uploads;

/// <summary>One entry as it is to be written, true or not.</summary>
internal sealed record HostileEntry(byte[] Name, byte[] Content)
{
    public HostileEntry(string name, string content = "x") : this(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(content)) { }

    /// <summary>Unix mode with its type bits; 0 for none.</summary>
    public int Mode { get; init; } = 0x81A4;
    public bool Deflated { get; init; }
    public ushort Flags { get; init; }
    public ushort? Method { get; init; }
    /// <summary>Claims that replace the true values.</summary>
    public uint? ClaimedSize { get; init; }
    public uint? ClaimedCompressed { get; init; }
    public uint? ClaimedCrc { get; init; }
    public byte[]? LocalName { get; init; }
    public byte[] Extra { get; init; } = [];
    /// <summary>Points at the data of the first entry instead of its own.</summary>
    public bool SharesFirstEntrysData { get; init; }

    public static HostileEntry Link(string name, string target) => new(name, target) { Mode = 0xA1FF };
}

/// <summary>Writes zips byte by byte, since no library writes the ones that are wanted here.</summary>
internal static class HostileZip
{
    public static byte[] Write(params IReadOnlyList<HostileEntry> entries)
    {
        using var zip = new MemoryStream();
        using var directory = new MemoryStream();
        foreach (var entry in entries)
        {
            var data = entry.Deflated ? Deflate(entry.Content) : entry.Content;
            var offset = entry.SharesFirstEntrysData ? 0 : (uint)zip.Length;
            var crc = entry.ClaimedCrc ?? ZipContent.Crc32(entry.Content);
            var compressed = entry.ClaimedCompressed ?? (uint)data.Length;
            var size = entry.ClaimedSize ?? (uint)entry.Content.Length;
            var method = entry.Method ?? (ushort)(entry.Deflated ? 8 : 0);
            if (!entry.SharesFirstEntrysData)
            {
                var local = entry.LocalName ?? entry.Name;
                Put(zip, 0x04034b50u, (ushort)20, entry.Flags, method, 0u, crc, compressed, size, (ushort)local.Length, (ushort)0);
                zip.Write(local);
                zip.Write(data);
            }

            Put(directory, 0x02014b50u, (ushort)0x0314, (ushort)20, entry.Flags, method, 0u, crc, compressed, size, (ushort)entry.Name.Length,
                (ushort)entry.Extra.Length, (ushort)0, (ushort)0, (ushort)0, (uint)entry.Mode << 16, offset);
            directory.Write(entry.Name);
            directory.Write(entry.Extra);
        }

        var at = (uint)zip.Length;
        zip.Write(directory.ToArray());
        Put(zip, 0x06054b50u, (ushort)0, (ushort)0, (ushort)entries.Count, (ushort)entries.Count, (uint)directory.Length, at, (ushort)0);
        return zip.ToArray();
    }

    /// <summary>Unpacks by the directory alone and checks nothing: what an unpacker without walls would do.</summary>
    public static void UnpackWithoutChecks(byte[] zip, string directory)
    {
        var end = zip.Length - 22;
        var at = (int)BinaryPrimitives.ReadUInt32LittleEndian(zip.AsSpan(end + 16));
        for (int i = 0, count = BinaryPrimitives.ReadUInt16LittleEndian(zip.AsSpan(end + 10)); i < count; i++)
        {
            var central = zip.AsSpan(at);
            int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(central[28..]), extraLength = BinaryPrimitives.ReadUInt16LittleEndian(central[30..]);
            var size = (int)BinaryPrimitives.ReadUInt32LittleEndian(central[20..]);
            var local = (int)BinaryPrimitives.ReadUInt32LittleEndian(central[42..]);
            var type = BinaryPrimitives.ReadUInt32LittleEndian(central[38..]) >> 28;
            var path = Path.Combine(directory, Encoding.UTF8.GetString(central.Slice(46, nameLength)));
            var data = zip.AsSpan(local + 30 + BinaryPrimitives.ReadUInt16LittleEndian(zip.AsSpan(local + 26)), size);
            if (type == 0xA)
            {
                File.CreateSymbolicLink(path, Encoding.UTF8.GetString(data));
            }
            else
            {
                File.WriteAllBytes(path, data.ToArray());
            }

            at += 46 + nameLength + extraLength;
        }
    }

    private static byte[] Deflate(byte[] content)
    {
        using var target = new MemoryStream();
        using (var deflate = new DeflateStream(target, CompressionLevel.SmallestSize))
        {
            deflate.Write(content);
        }

        return target.ToArray();
    }

    private static void Put(Stream target, params object[] numbers)
    {
        Span<byte> bytes = stackalloc byte[4];
        foreach (var number in numbers)
        {
            if (number is ushort small)
            {
                BinaryPrimitives.WriteUInt16LittleEndian(bytes, small);
                target.Write(bytes[..2]);
            }
            else
            {
                BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)number);
                target.Write(bytes);
            }
        }
    }
}

using System.Buffers.Binary;
using System.Text;

namespace Flint.Server.Packages;

/// <summary>Packs source files so that equal input makes equal bytes on every machine and version: stored, no time, no owner.</summary>
internal static class StoredZip
{
    private const int LocalSize = 30;
    private const int CentralSize = 46;
    private const int EndSize = 22;

    public static byte[] Pack(string path, ReadOnlyMemory<byte> content) => Pack([new(path, content)]);

    /// <summary>At most 65534 files, in the order given.</summary>
    public static byte[] Pack(IReadOnlyList<KeyValuePair<string, ReadOnlyMemory<byte>>> files)
    {
        var names = files.Select(file => Encoding.UTF8.GetBytes(file.Key)).ToArray();
        var centralOffset = names.Sum(name => LocalSize + name.Length) + files.Sum(file => file.Value.Length);
        var centralLength = names.Sum(name => CentralSize + name.Length);
        var zip = new byte[centralOffset + centralLength + EndSize];
        var (at, centralAt) = (0, centralOffset);
        for (var i = 0; i < files.Count; i++)
        {
            var name = names[i];
            var content = files[i].Value.Span;
            var crc = ZipContent.Crc32(content);
            var central = zip.AsSpan(centralAt);
            // Made by version 2.0 on Unix; a regular file, 0644.
            WriteHeader(central, 0x02014b50, 6, name, content.Length, crc);
            BinaryPrimitives.WriteUInt16LittleEndian(central[4..], 3 << 8 | 20);
            BinaryPrimitives.WriteUInt32LittleEndian(central[38..], 0x81A4u << 16);
            BinaryPrimitives.WriteUInt32LittleEndian(central[42..], (uint)at);
            name.CopyTo(central[CentralSize..]);
            centralAt += CentralSize + name.Length;

            var local = zip.AsSpan(at);
            WriteHeader(local, 0x04034b50, 4, name, content.Length, crc);
            name.CopyTo(local[LocalSize..]);
            content.CopyTo(local[(LocalSize + name.Length)..]);
            at += LocalSize + name.Length + content.Length;
        }

        var end = zip.AsSpan(centralOffset + centralLength);
        BinaryPrimitives.WriteUInt32LittleEndian(end, 0x06054b50);
        BinaryPrimitives.WriteUInt16LittleEndian(end[8..], (ushort)files.Count);
        BinaryPrimitives.WriteUInt16LittleEndian(end[10..], (ushort)files.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(end[12..], (uint)centralLength);
        BinaryPrimitives.WriteUInt32LittleEndian(end[16..], (uint)centralOffset);
        return zip;
    }

    /// <summary>The members that both headers share, which start at <paramref name="at"/> with the version needed.</summary>
    private static void WriteHeader(Span<byte> header, uint signature, int at, byte[] name, int size, uint crc)
    {
        const ushort Utf8Name = 1 << 11;
        const ushort FirstDay = 1 << 5 | 1;
        BinaryPrimitives.WriteUInt32LittleEndian(header, signature);
        var shared = header[at..];
        BinaryPrimitives.WriteUInt16LittleEndian(shared, 20);
        BinaryPrimitives.WriteUInt16LittleEndian(shared[2..], Utf8Name);
        BinaryPrimitives.WriteUInt16LittleEndian(shared[8..], FirstDay);
        BinaryPrimitives.WriteUInt32LittleEndian(shared[10..], crc);
        BinaryPrimitives.WriteUInt32LittleEndian(shared[14..], (uint)size);
        BinaryPrimitives.WriteUInt32LittleEndian(shared[18..], (uint)size);
        BinaryPrimitives.WriteUInt16LittleEndian(shared[22..], (ushort)name.Length);
    }
}

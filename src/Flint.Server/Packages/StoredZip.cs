using System.Buffers.Binary;
using System.Text;

namespace Flint.Server.Packages;

/// <summary>Packs one source file so that equal input makes equal bytes on every machine and version: stored, no time, no owner.</summary>
internal static class StoredZip
{
    public static byte[] Pack(string path, ReadOnlySpan<byte> content)
    {
        var name = Encoding.UTF8.GetBytes(path);
        var crc = ZipContent.Crc32(content);
        var zip = new byte[30 + name.Length + content.Length + 46 + name.Length + 22];
        var local = zip.AsSpan();
        WriteHeader(local, 0x04034b50, 4, name, content.Length, crc);
        name.CopyTo(local[30..]);
        content.CopyTo(local[(30 + name.Length)..]);

        var centralOffset = 30 + name.Length + content.Length;
        var central = zip.AsSpan(centralOffset);
        // Made by version 2.0 on Unix; a regular file, 0644.
        WriteHeader(central, 0x02014b50, 6, name, content.Length, crc);
        BinaryPrimitives.WriteUInt16LittleEndian(central[4..], 3 << 8 | 20);
        BinaryPrimitives.WriteUInt32LittleEndian(central[38..], 0x81A4u << 16);
        name.CopyTo(central[46..]);

        var end = zip.AsSpan(centralOffset + 46 + name.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(end, 0x06054b50);
        BinaryPrimitives.WriteUInt16LittleEndian(end[8..], 1);
        BinaryPrimitives.WriteUInt16LittleEndian(end[10..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(end[12..], (uint)(46 + name.Length));
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

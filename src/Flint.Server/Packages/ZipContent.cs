using System.Buffers;
using System.IO.Compression;
using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>Reads an entry's bytes: never more than it declares, and exactly those that its checksum covers.</summary>
internal static class ZipContent
{
    private const int BufferSize = 64 * 1024;

    private static readonly uint[] Table = MakeTable();

    public static async Task CopyAsync(ReadOnlyMemory<byte> zip, ZipEntry entry, Stream destination, CancellationToken cancellationToken)
    {
        var data = zip.Slice((int)entry.DataOffset, (int)entry.CompressedSize);
        var crc = uint.MaxValue;
        long written = 0;
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            using var source = Open(data, entry.Deflated);
            int read;
            while ((read = await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                written += read;
                if (written > entry.Size)
                {
                    throw Lies(entry);
                }

                crc = Update(crc, buffer.AsSpan(0, read));
                await destination.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
            }
        }
        catch (InvalidDataException)
        {
            throw ZipDirectory.Broken("an entry's compressed data is damaged", EntryNames.Escape(entry.Path));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        if (written != entry.Size || ~crc != entry.Crc)
        {
            throw Lies(entry);
        }
    }

    public static uint Crc32(ReadOnlySpan<byte> bytes) => ~Update(uint.MaxValue, bytes);

    private static RefusedException Lies(ZipEntry entry) =>
        ZipDirectory.Broken("an entry's content is not of the size or checksum that the directory claims", EntryNames.Escape(entry.Path));

    private static Stream Open(ReadOnlyMemory<byte> data, bool deflated)
    {
        var raw = System.Runtime.InteropServices.MemoryMarshal.TryGetArray(data, out var segment)
            ? new MemoryStream(segment.Array!, segment.Offset, segment.Count, writable: false)
            : new MemoryStream(data.ToArray(), writable: false);
        return deflated ? new DeflateStream(raw, CompressionMode.Decompress) : raw;
    }

    private static uint Update(uint crc, ReadOnlySpan<byte> bytes)
    {
        foreach (var b in bytes)
        {
            crc = Table[(byte)(crc ^ b)] ^ (crc >> 8);
        }

        return crc;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            var value = i;
            for (var bit = 0; bit < 8; bit++)
            {
                value = (value & 1) != 0 ? 0xEDB88320 ^ (value >> 1) : value >> 1;
            }

            table[i] = value;
        }

        return table;
    }
}

using System.Buffers.Binary;
using System.Globalization;
using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>
/// Reads a zip's central directory, and believes nothing in it that the rest of the archive does not bear out: local headers must agree,
/// entries must lie one behind the other, from the first byte to the directory, which must reach to the end record, which must end the file.
/// So there is one reading of an archive only, and nothing hides in it.
/// </summary>
internal static class ZipDirectory
{
    private const int EndSize = 22;
    private const int CentralSize = 46;
    private const int LocalSize = 30;
    private const int LongestDescriptor = 24;
    private const ushort Encrypted = 1 | 1 << 6 | 1 << 13;
    private const ushort HasDescriptor = 1 << 3;

    public static IReadOnlyList<ZipEntry> Read(ReadOnlySpan<byte> zip, PackagesOptions limits)
    {
        var (offset, size, count) = ReadEnd(zip, limits);
        var entries = new List<ZipEntry>(Math.Min(count, 4096));
        var directory = zip.Slice((int)offset, (int)size);
        long total = 0;
        for (var i = 0; i < count; i++)
        {
            var entry = ReadCentral(ref directory, limits);
            total += entry.Size;
            if (total > limits.MaxUnzippedBytes)
            {
                throw TooLarge(limits);
            }

            entries.Add(entry);
        }

        if (!directory.IsEmpty)
        {
            throw Broken("its directory is longer than its entries");
        }

        CheckLayout(zip, offset, entries);
        return entries;
    }

    public static RefusedException TooLarge(PackagesOptions limits) => new("unzipped_too_large",
        $"The package unpacks to more than {limits.MaxUnzippedBytes} bytes.", limit: $"{limits.MaxUnzippedBytes} bytes", knob: "Flint:Packages:MaxUnzippedBytes");

    public static RefusedException TooMany(string what, int count, PackagesOptions limits) => new("too_many_entries",
        $"The zip has {count} {what}; at most {limits.MaxEntries} are taken.",
        limit: limits.MaxEntries.ToString(CultureInfo.InvariantCulture), knob: "Flint:Packages:MaxEntries");

    public static RefusedException Broken(string why, string? entry = null) => new("invalid_zip", $"The zip cannot be read: {why}.", entry);

    private static (long Offset, long Size, int Count) ReadEnd(ReadOnlySpan<byte> zip, PackagesOptions limits)
    {
        var at = FindEnd(zip);
        var end = zip[at..];
        ushort disk = U16(end, 4), startDisk = U16(end, 6), here = U16(end, 8), count = U16(end, 10);
        uint size = U32(end, 12), offset = U32(end, 16);
        if (here == ushort.MaxValue || count == ushort.MaxValue || size == uint.MaxValue || offset == uint.MaxValue)
        {
            throw new RefusedException("zip64_unsupported", "The zip's directory is in the 64-bit form, which no package within the limits needs.");
        }

        if (disk != 0 || startDisk != 0 || here != count)
        {
            throw Broken("it is one part of several");
        }

        if (count == 0)
        {
            throw new RefusedException("empty_package", "The zip has no entries.");
        }

        if (count > limits.MaxEntries)
        {
            throw TooMany("entries", count, limits);
        }

        if (offset + (long)size != at)
        {
            throw Broken("its directory does not reach to its end record (bytes before, between or behind?)");
        }

        return (offset, size, count);
    }

    private static int FindEnd(ReadOnlySpan<byte> zip)
    {
        var lowest = Math.Max(0, zip.Length - EndSize - ushort.MaxValue);
        for (var at = zip.Length - EndSize; at >= lowest; at--)
        {
            if (U32(zip, at) == 0x06054b50 && at + EndSize + U16(zip, at + 20) == zip.Length)
            {
                return at;
            }
        }

        throw Broken("it has no end record at its end (not a zip, cut off, or with bytes behind it)");
    }

    private static ZipEntry ReadCentral(ref ReadOnlySpan<byte> directory, PackagesOptions limits)
    {
        if (directory.Length < CentralSize || U32(directory, 0) != 0x02014b50)
        {
            throw Broken("its directory is damaged");
        }

        int nameLength = U16(directory, 28), extraLength = U16(directory, 30), commentLength = U16(directory, 32);
        var whole = CentralSize + nameLength + extraLength + commentLength;
        if (directory.Length < whole)
        {
            throw Broken("its directory is cut off");
        }

        var rawName = directory.Slice(CentralSize, nameLength);
        var extra = directory.Slice(CentralSize + nameLength, extraLength);
        var path = EntryNames.Check(rawName, limits);
        var shown = EntryNames.Escape(path);
        ushort flags = U16(directory, 8), method = U16(directory, 10);
        if ((flags & Encrypted) != 0)
        {
            throw new RefusedException("encrypted_entry", "An entry is encrypted.", shown);
        }

        if (method is not (0 or 8))
        {
            throw new RefusedException("unsupported_compression",
                $"An entry is compressed by method {method}; stored (0) and deflated (8) are taken.", shown);
        }

        long compressed = U32(directory, 20), size = U32(directory, 24), offset = U32(directory, 42);
        ReadWide(extra, shown, ref size, ref compressed, ref offset);
        var (kind, executable) = ReadMode(U32(directory, 38), rawName.EndsWith((byte)'/'), shown);
        CheckSizes(kind, method, compressed, size, shown, limits);
        var entry = new ZipEntry
        {
            Path = path,
            Kind = kind,
            Executable = executable,
            Deflated = method == 8,
            CompressedSize = compressed,
            Size = size,
            Crc = U32(directory, 16),
            HeaderOffset = offset,
        };
        directory = directory[whole..];
        return entry;
    }

    /// <summary>Takes the 64-bit sizes of an entry that has them; they are bounded like any others.</summary>
    private static void ReadWide(ReadOnlySpan<byte> extra, string shown, ref long size, ref long compressed, ref long offset)
    {
        while (extra.Length >= 4)
        {
            int id = U16(extra, 0), length = U16(extra, 2);
            if (length > extra.Length - 4)
            {
                break;
            }

            var field = extra.Slice(4, length);
            extra = extra[(4 + length)..];
            if (id == 1)
            {
                Take(ref field, ref size, shown);
                Take(ref field, ref compressed, shown);
                Take(ref field, ref offset, shown);
            }
            else if (id == 0x000d && length > 12)
            {
                throw new RefusedException("unsupported_entry_type", "An entry is a hard link or a device.", shown);
            }
        }

        if (size == uint.MaxValue || compressed == uint.MaxValue || offset == uint.MaxValue)
        {
            throw Broken("an entry's 64-bit sizes are missing", shown);
        }

        static void Take(ref ReadOnlySpan<byte> field, ref long value, string shown)
        {
            if (value != uint.MaxValue)
            {
                return;
            }

            if (field.Length < 8)
            {
                throw Broken("an entry's 64-bit sizes are missing", shown);
            }

            var wide = BinaryPrimitives.ReadUInt64LittleEndian(field);
            if (wide >= uint.MaxValue)
            {
                throw Broken("an entry claims to be larger than the archive can be", shown);
            }

            value = (long)wide;
            field = field[8..];
        }
    }

    /// <summary>Only the type and the execute bits count; set-id and sticky bits are dropped, read and write bits are Flint's own.</summary>
    private static (ZipEntryKind Kind, bool Executable) ReadMode(uint attributes, bool slash, string shown)
    {
        var mode = attributes >> 16;
        var kind = (mode & 0xF000) switch
        {
            0 => slash ? ZipEntryKind.Directory : ZipEntryKind.File,
            0x8000 => ZipEntryKind.File,
            0x4000 => ZipEntryKind.Directory,
            0xA000 => ZipEntryKind.Link,
            _ => throw new RefusedException("unsupported_entry_type",
                "An entry is neither a file, a directory nor a symbolic link.", shown),
        };
        if (slash != (kind == ZipEntryKind.Directory))
        {
            throw Broken("an entry's name and type disagree on whether it is a directory", shown);
        }

        return (kind, (mode & 0x49) != 0);
    }

    private static void CheckSizes(ZipEntryKind kind, ushort method, long compressed, long size, string shown, PackagesOptions limits)
    {
        if (method == 0 && compressed != size)
        {
            throw Broken("an entry that is not compressed has two sizes", shown);
        }

        if (kind == ZipEntryKind.Directory && size != 0)
        {
            throw Broken("a directory has content", shown);
        }

        if (kind == ZipEntryKind.Link && (size == 0 || size > PackageTree.MaxTarget))
        {
            throw PackageTree.Unsafe("is empty or too long", shown);
        }

        if (size > 1024 * 1024 && size / Math.Max(1, compressed) > limits.MaxCompressionRatio)
        {
            throw new RefusedException("compression_ratio", $"An entry unpacks to {size / Math.Max(1, compressed)} times its compressed size.",
                shown, limit: limits.MaxCompressionRatio.ToString(CultureInfo.InvariantCulture), knob: "Flint:Packages:MaxCompressionRatio");
        }
    }

    private static void CheckLayout(ReadOnlySpan<byte> zip, long directoryOffset, List<ZipEntry> entries)
    {
        var inOrder = entries.ToArray();
        Array.Sort(inOrder, (a, b) => a.HeaderOffset.CompareTo(b.HeaderOffset));
        long expected = 0;
        long slack = 0;
        foreach (var entry in inOrder)
        {
            if (entry.HeaderOffset < expected || entry.HeaderOffset > expected + slack)
            {
                throw Broken(entry.HeaderOffset < expected ? "entries overlap" : "there are bytes that belong to no entry",
                    EntryNames.Escape(entry.Path));
            }

            slack = CheckLocal(zip, directoryOffset, entry);
            expected = entry.DataOffset + entry.CompressedSize;
        }

        if (directoryOffset < expected || directoryOffset > expected + slack)
        {
            throw Broken("there are bytes that belong to no entry before the directory, or entries reach into it");
        }
    }

    /// <summary>Checks the entry's local header, sets <see cref="ZipEntry.DataOffset"/>, and returns how many bytes may follow the data.</summary>
    private static int CheckLocal(ReadOnlySpan<byte> zip, long directoryOffset, ZipEntry entry)
    {
        var shown = EntryNames.Escape(entry.Path);
        var at = entry.HeaderOffset;
        if (at + LocalSize > directoryOffset || U32(zip, (int)at) != 0x04034b50)
        {
            throw Broken("an entry's header is not where the directory says", shown);
        }

        var local = zip[(int)at..];
        int flags = U16(local, 6), nameLength = U16(local, 26), extraLength = U16(local, 28);
        entry.DataOffset = at + LocalSize + nameLength + extraLength;
        if (entry.DataOffset + entry.CompressedSize > directoryOffset)
        {
            throw Broken("an entry reaches beyond the archive", shown);
        }

        var method = entry.Deflated ? 8 : 0;
        var name = local.Slice(LocalSize, nameLength);
        if ((flags & Encrypted) != 0 || U16(local, 8) != method || !SameName(name, entry))
        {
            throw Broken("an entry's two headers disagree", shown);
        }

        var streamed = (flags & HasDescriptor) != 0;
        if (!Agrees(U32(local, 14), entry.Crc, streamed, wide: false)
            || !Agrees(U32(local, 18), entry.CompressedSize, streamed, wide: true)
            || !Agrees(U32(local, 22), entry.Size, streamed, wide: true))
        {
            throw Broken("an entry's two headers disagree on its size or checksum", shown);
        }

        return streamed ? LongestDescriptor : 0;
    }

    private static bool Agrees(uint local, long central, bool streamed, bool wide) =>
        local == central || (streamed && local == 0) || (wide && local == uint.MaxValue);

    private static bool SameName(ReadOnlySpan<byte> local, ZipEntry entry)
    {
        if (local.StartsWith("./"u8))
        {
            local = local[2..];
        }

        if (entry.Kind == ZipEntryKind.Directory)
        {
            if (!local.EndsWith((byte)'/'))
            {
                return false;
            }

            local = local[..^1];
        }

        return local.SequenceEqual(System.Text.Encoding.UTF8.GetBytes(entry.Path));
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);
}

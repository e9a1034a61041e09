using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Flint.Server.Packages;

namespace Flint.Server.Tests.Packages;

/// <summary>Makes zips byte by byte, so that they can lie.</summary>
internal sealed class ZipBuilder
{
    private readonly List<Item> _items = [];

    public byte[] Before { get; set; } = [];
    public byte[] BeforeDirectory { get; set; } = [];
    public byte[] After { get; set; } = [];
    public int? Count { get; set; }

    /// <summary>One entry, with whatever it claims.</summary>
    internal sealed class Item
    {
        public byte[] Name { get; set; } = [];
        public byte[]? LocalName { get; set; }
        public byte[] Data { get; set; } = [];
        public uint Mode { get; set; }
        public ushort Method { get; set; }
        public ushort Flags { get; set; }
        public uint? Crc { get; set; }
        public uint? Size { get; set; }
        public uint? LocalSize { get; set; }
        public uint? CompressedSize { get; set; }
        public byte[] Extra { get; set; } = [];
        public int? OffsetOf { get; set; }
    }

    public ZipBuilder Add(string name, string content = "", uint mode = 0x81A4, bool deflate = false, Action<Item>? lie = null) =>
        Add(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(content), mode, deflate, lie);

    public ZipBuilder Add(byte[] name, byte[] content, uint mode = 0x81A4, bool deflate = false, Action<Item>? lie = null)
    {
        var data = content;
        if (deflate)
        {
            var packed = new MemoryStream();
            using (var stream = new DeflateStream(packed, CompressionLevel.Optimal, leaveOpen: true))
            {
                stream.Write(content);
            }

            data = packed.ToArray();
        }

        var item = new Item
        {
            Name = name,
            Data = data,
            Mode = mode,
            Method = (ushort)(deflate ? 8 : 0),
            Crc = ZipContent.Crc32(content),
            Size = (uint)content.Length,
        };
        lie?.Invoke(item);
        _items.Add(item);
        return this;
    }

    public ZipBuilder Link(string name, string target) => Add(name, target, 0xA1FF);

    public byte[] Build()
    {
        var zip = new MemoryStream();
        zip.Write(Before);
        var offsets = new List<uint>();
        foreach (var item in _items)
        {
            offsets.Add((uint)zip.Position);
            var name = item.LocalName ?? item.Name;
            Write(zip, 0x04034b50, 4);
            Write(zip, 20, 2);
            WriteShared(zip, item, item.LocalSize ?? item.Size!.Value);
            Write(zip, (uint)name.Length, 2);
            Write(zip, 0, 2);
            zip.Write(name);
            zip.Write(item.Data);
        }

        zip.Write(BeforeDirectory);
        var start = (uint)zip.Position;
        foreach (var (item, index) in _items.Select((item, index) => (item, index)))
        {
            Write(zip, 0x02014b50, 4);
            Write(zip, 3 << 8 | 20, 2);
            Write(zip, 20, 2);
            WriteShared(zip, item, item.Size!.Value);
            Write(zip, (uint)item.Name.Length, 2);
            Write(zip, (uint)item.Extra.Length, 2);
            Write(zip, 0, 2);
            Write(zip, 0, 4);
            Write(zip, item.Mode << 16, 4);
            Write(zip, offsets[item.OffsetOf ?? index], 4);
            zip.Write(item.Name);
            zip.Write(item.Extra);
        }

        var size = (uint)zip.Position - start;
        Write(zip, 0x06054b50, 4);
        Write(zip, 0, 4);
        Write(zip, (uint)(Count ?? _items.Count), 2);
        Write(zip, (uint)(Count ?? _items.Count), 2);
        Write(zip, size, 4);
        Write(zip, start, 4);
        Write(zip, 0, 2);
        zip.Write(After);
        return zip.ToArray();
    }

    private static void WriteShared(Stream zip, Item item, uint size)
    {
        Write(zip, item.Flags, 2);
        Write(zip, item.Method, 2);
        Write(zip, 0, 4);
        Write(zip, item.Crc!.Value, 4);
        Write(zip, item.CompressedSize ?? (uint)item.Data.Length, 4);
        Write(zip, size, 4);
    }

    private static void Write(Stream zip, uint value, int bytes)
    {
        Span<byte> buffer = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(buffer, value);
        zip.Write(buffer[..bytes]);
    }
}

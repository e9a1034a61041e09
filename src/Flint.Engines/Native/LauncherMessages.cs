using System.Buffers.Binary;
using System.Text;

namespace Flint.Engines.Native;

/// <summary>The operations of the launcher's control socket (native/LAUNCHER.md).</summary>
internal enum LauncherOp : ushort
{
    Make = 0x01,
    Start = 0x02,
    Kill = 0x03,
    Hello = 0x81,
    Ready = 0x82,
    Failed = 0x83,
    Exited = 0x84,
    Gone = 0x85,
}

/// <summary>How a guest is started in a cell: the body of START.</summary>
internal sealed record GuestStart
{
    public required uint MemoryMb { get; init; }
    public required uint TmpMb { get; init; }
    public required uint PidsMax { get; init; }
    /// <summary>On cgroup v2's scale, 1 to 10000.</summary>
    public required uint CpuWeight { get; init; }
    /// <summary>Thousandths of a core; 0 means no quota.</summary>
    public required uint CpuQuotaMilli { get; init; }
    public required uint MaxFiles { get; init; }
    /// <summary>The name of a child of the code directory.</summary>
    public required string CodeName { get; init; }
    public required IReadOnlyList<string> Arguments { get; init; }
    /// <summary><c>NAME=value</c> entries.</summary>
    public required IReadOnlyList<string> Environment { get; init; }
}

/// <summary>Builds messages to the launcher.</summary>
internal static class LauncherRequests
{
    private const ushort Version = 1;

    /// <summary>The launcher's limit on one message.</summary>
    public const int MaxBytes = 128 * 1024;

    public static byte[] Make(uint cell, string tenant)
    {
        var writer = Begin(LauncherOp.Make, cell);
        WriteString(writer, tenant);
        return writer.ToArray();
    }

    public static byte[] Kill(uint cell) => Begin(LauncherOp.Kill, cell).ToArray();

    public static byte[] Start(uint cell, GuestStart start)
    {
        var writer = Begin(LauncherOp.Start, cell);
        WriteNumber(writer, start.MemoryMb);
        WriteNumber(writer, start.TmpMb);
        WriteNumber(writer, start.PidsMax);
        WriteNumber(writer, start.CpuWeight);
        WriteNumber(writer, start.CpuQuotaMilli);
        WriteNumber(writer, start.MaxFiles);
        WriteString(writer, start.CodeName);
        WriteString(writer, "/var/task");
        WriteList(writer, start.Arguments);
        WriteList(writer, start.Environment);
        return writer.Length <= MaxBytes
            ? writer.ToArray()
            : throw new Flint.Runtime.Sandboxing.EngineException(
                $"Arguments and environment of the guest take {writer.Length} bytes; the launcher takes {MaxBytes}. Make the function's environment smaller.");
    }

    private static MemoryStream Begin(LauncherOp op, uint cell)
    {
        var stream = new MemoryStream(256);
        Span<byte> header = stackalloc byte[8];
        BinaryPrimitives.WriteUInt16LittleEndian(header, Version);
        BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)op);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], cell);
        stream.Write(header);
        return stream;
    }

    private static void WriteNumber(MemoryStream stream, uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        stream.Write(bytes);
    }

    private static void WriteString(MemoryStream stream, string value)
    {
        var bytes = Encoding.UTF8.GetBytes(value);
        WriteNumber(stream, (uint)bytes.Length);
        stream.Write(bytes);
    }

    private static void WriteList(MemoryStream stream, IReadOnlyList<string> values)
    {
        WriteNumber(stream, (uint)values.Count);
        foreach (var value in values)
        {
            WriteString(stream, value);
        }
    }
}

/// <summary>Reads one message from the launcher. The launcher is trusted, yet a message that does not parse is an error, never a guess.</summary>
internal ref struct LauncherEvent
{
    private ReadOnlySpan<byte> _rest;

    public LauncherEvent(ReadOnlySpan<byte> message)
    {
        if (message.Length < 8 || BinaryPrimitives.ReadUInt16LittleEndian(message) != 1)
        {
            throw new InvalidDataException("The launcher sent a message that is not of protocol 1.");
        }

        Op = (LauncherOp)BinaryPrimitives.ReadUInt16LittleEndian(message[2..]);
        Cell = BinaryPrimitives.ReadUInt32LittleEndian(message[4..]);
        _rest = message[8..];
    }

    public LauncherOp Op { get; }

    public uint Cell { get; }

    public uint ReadNumber()
    {
        var value = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
        return value;
    }

    public string ReadString() => Encoding.UTF8.GetString(Take(ReadNumber()));

    private ReadOnlySpan<byte> Take(uint count)
    {
        if (count > (uint)_rest.Length)
        {
            throw new InvalidDataException("The launcher sent a message that ends too early.");
        }

        var taken = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return taken;
    }
}

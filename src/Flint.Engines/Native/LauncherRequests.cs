using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>Builds messages to the launcher.</summary>
internal static class LauncherRequests
{
    /// <summary>The protocol that both sides speak, in every header and in HELLO.</summary>
    public const ushort Version = 2;

    /// <summary>The launcher's limit on one message.</summary>
    public const int MaxBytes = 128 * 1024;

    private const uint SnapshotFlag = 1;

    /// <param name="cell">The new cell.</param>
    /// <param name="tenant">Whose it is.</param>
    /// <param name="zygote">The zygote that forks its guest; 0 for a cell in which a guest is executed.</param>
    /// <param name="network">Fixed when the cell is made.</param>
    public static ReadOnlyMemory<byte> Make(uint cell, string tenant, uint zygote, NetworkAccess network)
    {
        var writer = Begin(LauncherOp.Make, cell);
        WriteString(writer, tenant);
        WriteNumber(writer, zygote);
        WriteNumber(writer, network == NetworkAccess.Egress ? 1u : 0u);
        return writer.WrittenMemory;
    }

    /// <summary>A message that is its header: KILL, RETIRE, SNAPSHOT, RENEW.</summary>
    public static ReadOnlyMemory<byte> Bare(LauncherOp op, uint id) => Begin(op, id).WrittenMemory;

    public static ReadOnlyMemory<byte> Start(uint cell, GuestStart start)
    {
        var writer = Begin(LauncherOp.Start, cell);
        WriteNumber(writer, start.Snapshot ? SnapshotFlag : 0);
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
        return writer.WrittenCount <= MaxBytes
            ? writer.WrittenMemory
            : throw new EngineException(
                $"Arguments and environment of the guest take {writer.WrittenCount} bytes; the launcher takes {MaxBytes}. Make the function's environment smaller.");
    }

    public static ReadOnlyMemory<byte> Zygote(uint zygote, IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        var writer = Begin(LauncherOp.Zygote, zygote);
        WriteList(writer, arguments);
        WriteList(writer, environment);
        return writer.WrittenMemory;
    }

    private static ArrayBufferWriter<byte> Begin(LauncherOp op, uint id)
    {
        var writer = new ArrayBufferWriter<byte>(128);
        var header = writer.GetSpan(8);
        BinaryPrimitives.WriteUInt16LittleEndian(header, Version);
        BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)op);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], id);
        writer.Advance(8);
        return writer;
    }

    private static void WriteNumber(ArrayBufferWriter<byte> writer, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(writer.GetSpan(4), value);
        writer.Advance(4);
    }

    private static void WriteString(ArrayBufferWriter<byte> writer, string value)
    {
        WriteNumber(writer, (uint)Encoding.UTF8.GetByteCount(value));
        Encoding.UTF8.GetBytes(value, writer);
    }

    private static void WriteList(ArrayBufferWriter<byte> writer, IReadOnlyList<string> values)
    {
        WriteNumber(writer, (uint)values.Count);
        foreach (var value in values)
        {
            WriteString(writer, value);
        }
    }
}

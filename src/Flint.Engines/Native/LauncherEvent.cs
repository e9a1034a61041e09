using System.Buffers.Binary;
using System.Text;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>Reads one message from the launcher. The launcher is trusted, yet a message that does not parse is an error, never a guess.</summary>
internal ref struct LauncherEvent
{
    private ReadOnlySpan<byte> _rest;

    /// <summary>Throws <see cref="InvalidDataException"/>, and <see cref="EngineException"/> when the launcher is of another version.</summary>
    public LauncherEvent(ReadOnlySpan<byte> message)
    {
        if (message.Length < 8)
        {
            throw new InvalidDataException("The launcher sent a message without a header.");
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(message) is var version and not LauncherRequests.Version)
        {
            throw LauncherHello.OtherProtocol(version);
        }

        Op = (LauncherOp)BinaryPrimitives.ReadUInt16LittleEndian(message[2..]);
        Id = BinaryPrimitives.ReadUInt32LittleEndian(message[4..]);
        _rest = message[8..];
    }

    public LauncherOp Op { get; }

    /// <summary>The cell's or the zygote's.</summary>
    public uint Id { get; }

    public uint ReadNumber() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    public string ReadString() => Encoding.UTF8.GetString(Take(ReadNumber()));

    public IReadOnlyList<string> ReadList()
    {
        // Each item has a length of four bytes: a count that cannot be true must not be allocated.
        var count = ReadNumber();
        if (count > (uint)_rest.Length / 4)
        {
            throw EndsTooEarly();
        }

        var items = new string[count];
        for (var i = 0; i < items.Length; i++)
        {
            items[i] = ReadString();
        }

        return items;
    }

    private ReadOnlySpan<byte> Take(uint count)
    {
        if (count > (uint)_rest.Length)
        {
            throw EndsTooEarly();
        }

        var taken = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return taken;
    }

    private static InvalidDataException EndsTooEarly() => new("The launcher sent a message that ends too early.");
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Flint.Engines.Native;

/// <summary>What <see cref="Libc.WaitEpoll"/> has seen.</summary>
internal readonly record struct PollEvent(long Token, uint Events);

/// <summary>The few system calls that .NET has no way to make, or none as cheap: receiving descriptors, and non-blocking work on channels, pipes and cgroup files.</summary>
internal static unsafe partial class Libc
{
    public const int Eintr = 4;
    public const int Eagain = 11;
    public const int SolSocket = 1;
    public const int SoPeerCred = 17;
    private const int ScmRights = 1;
    private const int MsgTrunc = 0x20;
    private const int MsgDontWait = 0x40;
    private const int MsgNoSignal = 0x4000;
    private const int MsgCtrunc = 0x08;
    private const int MsgCmsgCloexec = 0x40000000;
    private const int FGetFl = 3;
    private const int FSetFl = 4;
    private const int ONonblock = 0x800;
    public const uint EpollIn = 0x001;
    public const uint EpollOut = 0x004;
    /// <summary>Error, or the other side is gone or sends no more: there is no other event after it.</summary>
    public const uint EpollEnd = 0x008 | 0x010 | EpollRdHup;
    public const uint EpollRdHup = 0x2000;
    public const uint EpollOneShot = 1u << 30;
    public const uint EpollEdge = 1u << 31;
    public const int EpollCtlAdd = 1;
    public const int EpollCtlDel = 2;
    public const int EpollCtlMod = 3;
    private const int EpollCloexec = 0x80000;
    private const int MaxDescriptors = 16;

    // struct epoll_event is packed on x86-64 only.
    private static readonly int EpollDataOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;

    /// <summary>
    /// Blocks until one message of a SEQPACKET socket has come. Returns its length; 0 at the end of the connection.
    /// Descriptors that came with it are the caller's. Throws <see cref="InvalidDataException"/> when it did not fit.
    /// </summary>
    public static int ReceiveMessage(int socket, Span<byte> buffer, List<int> descriptors)
    {
        const int ControlBytes = 16 + (MaxDescriptors * sizeof(int));
        byte* control = stackalloc byte[ControlBytes];
        fixed (byte* data = buffer)
        {
            var vector = new IoVector { Base = data, Length = (nuint)buffer.Length };
            var header = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = ControlBytes };
            nint received;
            do
            {
                received = recvmsg(socket, &header, MsgCmsgCloexec);
            }
            while (received < 0 && Marshal.GetLastPInvokeError() == Eintr);
            if (received < 0)
            {
                throw Failure("recvmsg");
            }

            TakeDescriptors(in header, descriptors);
            if ((header.Flags & (MsgTrunc | MsgCtrunc)) != 0)
            {
                throw new InvalidDataException("A control message was longer than its limit.");
            }

            return (int)received;
        }
    }

    private static void TakeDescriptors(in MessageHeader header, List<int> descriptors)
    {
        // One SCM_RIGHTS block: cmsghdr is {size_t length, int level, int type}, data follows at 16.
        if (header.ControlLength < 16)
        {
            return;
        }

        var length = *(nuint*)header.Control;
        var level = *(int*)((byte*)header.Control + 8);
        var type = *(int*)((byte*)header.Control + 12);
        if (level != SolSocket || type != ScmRights)
        {
            return;
        }

        var values = (int*)((byte*)header.Control + 16);
        for (var i = 0; i < (int)(length - 16) / sizeof(int); i++)
        {
            descriptors.Add(values[i]);
        }
    }

    /// <summary>Reads what is there; -1 when nothing is (non-blocking), 0 at the end.</summary>
    public static int ReadAvailable(int descriptor, Span<byte> buffer)
    {
        fixed (byte* data = buffer)
        {
            while (true)
            {
                var count = read(descriptor, data, (nuint)buffer.Length);
                if (count >= 0)
                {
                    return (int)count;
                }

                switch (Marshal.GetLastPInvokeError())
                {
                    case Eintr:
                        continue;
                    case Eagain:
                        return -1;
                    default:
                        throw Failure("read");
                }
            }
        }
    }

    /// <summary>Receives what is there of a stream; -1 when nothing is, 0 at the end. Never waits.</summary>
    public static int ReceiveAvailable(int socket, Span<byte> buffer)
    {
        fixed (byte* data = buffer)
        {
            nint count;
            do
            {
                count = recv(socket, data, (nuint)buffer.Length, MsgDontWait);
            }
            while (count < 0 && Marshal.GetLastPInvokeError() == Eintr);
            return count >= 0 ? (int)count : Marshal.GetLastPInvokeError() == Eagain ? -1 : throw Failure("recv");
        }
    }

    /// <summary>Sends what there is room for, of a message socket all; -1 when there is none. With <paramref name="wait"/> it waits for room.</summary>
    public static int Send(int socket, ReadOnlySpan<byte> bytes, bool wait)
    {
        fixed (byte* data = bytes)
        {
            nint count;
            do
            {
                count = send(socket, data, (nuint)bytes.Length, MsgNoSignal | (wait ? 0 : MsgDontWait));
            }
            while (count < 0 && Marshal.GetLastPInvokeError() == Eintr);
            return count >= 0 ? (int)count : Marshal.GetLastPInvokeError() == Eagain ? -1 : throw Failure("send");
        }
    }

    public static void SetNonBlocking(int descriptor)
    {
        var flags = fcntl(descriptor, FGetFl, 0);
        if (flags < 0 || fcntl(descriptor, FSetFl, flags | ONonblock) < 0)
        {
            throw Failure("fcntl");
        }
    }

    /// <summary>Writes a short control value at offset 0, as cgroup files want it.</summary>
    public static void WriteControl(int descriptor, ReadOnlySpan<byte> value)
    {
        fixed (byte* data = value)
        {
            if (pwrite(descriptor, data, (nuint)value.Length, 0) != value.Length)
            {
                throw Failure("write to a cgroup file");
            }
        }
    }

    public static int ReadControl(int descriptor, Span<byte> buffer)
    {
        fixed (byte* data = buffer)
        {
            var count = pread(descriptor, data, (nuint)buffer.Length, 0);
            return count < 0 ? throw Failure("read of a cgroup file") : (int)count;
        }
    }

    public static int CreateEpoll()
    {
        var epoll = epoll_create1(EpollCloexec);
        return epoll < 0 ? throw Failure("epoll_create1") : epoll;
    }

    public static void ControlEpoll(int epoll, int operation, int descriptor, uint events, long data)
    {
        byte* entry = stackalloc byte[16];
        *(uint*)entry = events;
        Unsafe.WriteUnaligned(entry + EpollDataOffset, data);
        if (epoll_ctl(epoll, operation, descriptor, entry) < 0)
        {
            throw Failure("epoll_ctl");
        }
    }

    /// <summary>Blocks until at least one event has come; fills them in and returns how many.</summary>
    public static int WaitEpoll(int epoll, Span<PollEvent> events)
    {
        byte* entries = stackalloc byte[events.Length * 16];
        var count = epoll_wait(epoll, entries, events.Length, -1);
        if (count < 0 && Marshal.GetLastPInvokeError() != Eintr)
        {
            throw Failure("epoll_wait");
        }

        for (var i = 0; i < count; i++)
        {
            var entry = entries + (i * (EpollDataOffset + 8));
            events[i] = new PollEvent(Unsafe.ReadUnaligned<long>(entry + EpollDataOffset), Unsafe.ReadUnaligned<uint>(entry));
        }

        return Math.Max(count, 0);
    }

    public static int CreateEventDescriptor()
    {
        var descriptor = eventfd(0, EpollCloexec | ONonblock);
        return descriptor < 0 ? throw Failure("eventfd") : descriptor;
    }

    public static void SignalEvent(int descriptor)
    {
        ulong one = 1;
        if (write(descriptor, &one, sizeof(ulong)) < 0 && Marshal.GetLastPInvokeError() != Eagain)
        {
            throw Failure("write to an eventfd");
        }
    }

    /// <summary>Closes; an error of close(2) cannot be acted upon and the descriptor is gone either way.</summary>
    public static void Close(int descriptor) => _ = close(descriptor);

    public static void Shutdown(int socket) => _ = shutdown(socket, 2);

    private static IOException Failure(string call) =>
        new($"{call} failed: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");

    [StructLayout(LayoutKind.Sequential)]
    private struct IoVector
    {
        public void* Base;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recvmsg(int socket, MessageHeader* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int socket, void* buffer, nuint count, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int socket, void* buffer, nuint count, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint pwrite(int descriptor, void* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint pread(int descriptor, void* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(int descriptor, int command, int argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int shutdown(int socket, int how);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* entry);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_wait(int epoll, byte* events, int count, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);
}

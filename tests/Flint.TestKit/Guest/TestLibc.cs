using System.Runtime.InteropServices;
using System.Text;

namespace Flint.TestKit.Guest;

/// <summary>The few calls that start a child with a socket as descriptor 3, which .NET's Process cannot.</summary>
internal static unsafe partial class TestLibc
{
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int UnixFamily = 1;
    private const int StreamType = 1;
    private const int PacketType = 5;
    private const int SocketLevel = 1;
    private const int Rights = 1;
    private const int NoSignal = 0x4000;
    private const int SetChildSubreaper = 36;
    private const int SetFlags = 4;
    private const int SpawnSetGroup = 0x02;
    private const int SpawnSetSignalDefaults = 0x04;
    private const int SpawnSetSignalMask = 0x08;
    private const int Kill = 9;
    private const short PollIn = 1;
    private const short PollHangUp = 16;
    /// <summary>Above what glibc needs for their opaque spawn structures and signal sets.</summary>
    private const int OpaqueSize = 512;

    public static (int First, int Second) SocketPair(bool packets = false)
    {
        int* pair = stackalloc int[2];
        Check(socketpair(UnixFamily, (packets ? PacketType : StreamType) | CloseOnExec, 0, pair), "socketpair");
        return (pair[0], pair[1]);
    }

    /// <summary>Sends one packet of one byte with descriptors.</summary>
    public static void Send(int socket, byte word, params ReadOnlySpan<int> descriptors)
    {
        byte* control = stackalloc byte[64];
        nuint length = 16 + (nuint)(descriptors.Length * sizeof(int));
        *(nuint*)control = length;
        *(int*)(control + 8) = SocketLevel;
        *(int*)(control + 12) = Rights;
        descriptors.CopyTo(new Span<int>(control + 16, descriptors.Length));
        Part part;
        part.Base = &word;
        part.Length = 1;
        Message message = new() { Parts = &part, PartCount = 1 };
        if (descriptors.Length > 0)
        {
            message.Control = control;
            message.ControlLength = (length + 7) & ~(nuint)7;
        }
        Check(sendmsg(socket, &message, NoSignal) == 1 ? 0 : -1, "sendmsg");
    }

    /// <summary>Orphaned descendants become this process's children, which it can wait for.</summary>
    public static void AdoptOrphans() => Check(prctl(SetChildSubreaper, 1, 0, 0, 0), "prctl");

    /// <summary>Nanoseconds that a process has run.</summary>
    public static long RunTime(int pid) =>
        long.Parse(File.ReadAllText($"/proc/{pid}/schedstat").AsSpan().Trim().ToString().Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);

    public static (int Read, int Write) Pipe()
    {
        int* pair = stackalloc int[2];
        Check(pipe2(pair, CloseOnExec), "pipe2");
        return (pair[0], pair[1]);
    }

    public static void SetNonBlocking(int descriptor) => Check(fcntl(descriptor, SetFlags, NonBlocking), "fcntl");

    /// <summary>Starts a process group of one process with /dev/null, the two pipes and the channel as descriptors 0 to 3.</summary>
    public static int Spawn(IReadOnlyList<string> arguments, IReadOnlyList<string> environment, int stdout, int stderr, int channel)
    {
        byte* actions = stackalloc byte[OpaqueSize];
        byte* attributes = stackalloc byte[OpaqueSize];
        byte* signals = stackalloc byte[OpaqueSize];
        new Span<byte>(signals, OpaqueSize).Fill(0xff);
        Check(posix_spawn_file_actions_init(actions), "posix_spawn_file_actions_init");
        Check(posix_spawnattr_init(attributes), "posix_spawnattr_init");
        // .NET ignores SIGPIPE and blocks some; a guest starts with a clean slate.
        Check(posix_spawnattr_setflags(attributes, SpawnSetGroup | SpawnSetSignalDefaults | SpawnSetSignalMask), "posix_spawnattr_setflags");
        Check(posix_spawnattr_setsigdefault(attributes, signals), "posix_spawnattr_setsigdefault");
        new Span<byte>(signals, OpaqueSize).Clear();
        Check(posix_spawnattr_setsigmask(attributes, signals), "posix_spawnattr_setsigmask");
        Check(posix_spawn_file_actions_addopen(actions, 0, "/dev/null", 0, 0), "addopen");
        // A source that is a target already would be overwritten before its turn; descriptors of .NET are far above 3.
        Check(posix_spawn_file_actions_adddup2(actions, stdout, 1), "adddup2");
        Check(posix_spawn_file_actions_adddup2(actions, stderr, 2), "adddup2");
        Check(posix_spawn_file_actions_adddup2(actions, channel, 3), "adddup2");
        // What this process inherited from whoever started it.
        Check(posix_spawn_file_actions_addclosefrom_np(actions, 4), "addclosefrom");
        using NativeStrings argv = new(arguments);
        using NativeStrings envp = new(environment);
        int error = posix_spawn(out int pid, arguments[0], actions, attributes, argv.Pointer, envp.Pointer);
        _ = posix_spawn_file_actions_destroy(actions);
        _ = posix_spawnattr_destroy(attributes);
        return error == 0 ? pid : throw new IOException($"{arguments[0]} could not be started: error {error}");
    }

    public static (int? Code, int? Signal) Wait(int pid)
    {
        int status;
        while (waitpid(pid, &status, 0) < 0)
        {
            if (Marshal.GetLastPInvokeError() != 4)
            {
                return (null, null);
            }
        }
        int signal = status & 0x7f;
        return signal == 0 ? ((status >> 8) & 0xff, null) : (null, signal);
    }

    public static void KillGroup(int group) => _ = kill(-group, Kill);

    /// <summary>Waits for bytes; true when both pipes have ended.</summary>
    public static bool Poll(int first, int second, int milliseconds)
    {
        PollEntry* entries = stackalloc PollEntry[2];
        entries[0] = new PollEntry { Descriptor = first, Events = PollIn };
        entries[1] = new PollEntry { Descriptor = second, Events = PollIn };
        _ = poll(entries, 2, milliseconds);
        return entries[0].Returned == PollHangUp && entries[1].Returned == PollHangUp;
    }

    public static int Read(int descriptor, Span<byte> buffer)
    {
        fixed (byte* bytes = buffer)
        {
            return (int)read(descriptor, bytes, buffer.Length);
        }
    }

    public static void Close(int descriptor) => _ = close(descriptor);

    private static void Check(int result, string what)
    {
        if (result != 0)
        {
            throw new IOException($"{what} failed: {result}, errno {Marshal.GetLastPInvokeError()}");
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Part
    {
        public byte* Base;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public void* Name;
        public nuint NameLength;
        public Part* Parts;
        public nuint PartCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    /// <summary>A NULL-terminated array of C strings.</summary>
    private sealed class NativeStrings : IDisposable
    {
        private readonly int _count;

        public NativeStrings(IReadOnlyList<string> strings)
        {
            _count = strings.Count;
            Pointer = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
            for (int i = 0; i < _count; i++)
            {
                byte[] bytes = Encoding.UTF8.GetBytes(strings[i] + '\0');
                Pointer[i] = (byte*)NativeMemory.Alloc((nuint)bytes.Length);
                bytes.CopyTo(new Span<byte>(Pointer[i], bytes.Length));
            }
        }

        public byte** Pointer { get; }

        public void Dispose()
        {
            for (int i = 0; i < _count; i++)
            {
                NativeMemory.Free(Pointer[i]);
            }
            NativeMemory.Free(Pointer);
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socketpair(int family, int type, int protocol, int* pair);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int socket, Message* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int prctl(int option, nuint first, nuint second, nuint third, nuint fourth);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* pair, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(int descriptor, int command, int value);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int descriptor, byte* buffer, nint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_addclosefrom_np(byte* actions, int from);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn_file_actions_addopen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_destroy(byte* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigdefault(byte* attributes, byte* signals);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigmask(byte* attributes, byte* signals);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn(out int pid, string path, byte* actions, byte* attributes, byte** argv, byte** envp);
}

using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

namespace Flint.Data.Blobs;

/// <summary>What .NET lacks for durable files: fsync of a directory, which makes a new name in it outlive a power cut.</summary>
internal static class DurableFile
{
    private const int ReadOnlyCloseOnExec = 0x80000;

    /// <summary>Writes a new file, complete and on the disk or not at all, under <paramref name="path"/>, by way of <paramref name="temporary"/>.</summary>
    public static async Task WriteAsync(string path, string temporary, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        try
        {
            await using (var file = new FileStream(temporary, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                BufferSize = 0,
            }))
            {
                await file.WriteAsync(content, cancellationToken);
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        SyncDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>Creates a directory below one that exists, and makes its name durable.</summary>
    public static void CreateDirectory(string path)
    {
        if (!Directory.Exists(path))
        {
            Directory.CreateDirectory(path);
            SyncDirectory(Path.GetDirectoryName(path)!);
        }
    }

    /// <summary>Throws <see cref="IOException"/> when the system refuses. Windows, which orders names itself, does nothing.</summary>
    public static void SyncDirectory(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var descriptor = Open(Encoding.UTF8.GetBytes(path + '\0'), ReadOnlyCloseOnExec);
        if (descriptor < 0)
        {
            throw Fault("open", path);
        }

        try
        {
            if (Fsync(descriptor) != 0)
            {
                throw Fault("fsync", path);
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    private static IOException Fault(string call, string path)
    {
        var error = new Win32Exception(Marshal.GetLastPInvokeError());
        return new IOException($"{call} of {path} failed: {error.Message}", error);
    }

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    private static extern int Open(byte[] path, int flags);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static extern int Fsync(int descriptor);

    [DllImport("libc", EntryPoint = "close", SetLastError = true)]
    private static extern int Close(int descriptor);
}

using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>Checks packages and unpacks them. Pure but for the directory that it is given, which must be new and its own.</summary>
internal static class PackageUnpacker
{
    private const UnixFileMode DirectoryMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    private const UnixFileMode ExecuteBits = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>Reads all of it and writes nothing. Throws <see cref="RefusedException"/>.</summary>
    public static Task CheckAsync(ReadOnlyMemory<byte> zip, PackagesOptions limits, CancellationToken cancellationToken) =>
        RunAsync(zip, null, limits, cancellationToken);

    /// <summary>
    /// Unpacks into <paramref name="directory"/>, which exists and is empty: directories and files first, links last, so that nothing is
    /// ever written through a link. Files become 0644, or 0755 when any execute bit was set; directories 0755; whatever the umask.
    /// </summary>
    public static Task UnpackAsync(ReadOnlyMemory<byte> zip, string directory, PackagesOptions limits, CancellationToken cancellationToken) =>
        RunAsync(zip, directory, limits, cancellationToken);

    private static async Task RunAsync(ReadOnlyMemory<byte> zip, string? directory, PackagesOptions limits, CancellationToken cancellationToken)
    {
        if (zip.Length > limits.MaxZipBytes)
        {
            throw new RefusedException("zip_too_large", $"The zip has more than {limits.MaxZipBytes} bytes.",
                limit: $"{limits.MaxZipBytes} bytes", knob: "Flint:Packages:MaxZipBytes");
        }

        var entries = ZipDirectory.Read(zip.Span, limits);
        var tree = new PackageTree(entries, limits);
        var links = new List<(ZipEntry Entry, string Target)>();
        foreach (var entry in entries)
        {
            switch (entry.Kind)
            {
                case ZipEntryKind.Link:
                    var target = new MemoryStream();
                    await ZipContent.CopyAsync(zip, entry, target, cancellationToken).ConfigureAwait(false);
                    links.Add((entry, tree.AddTarget(entry, target.ToArray())));
                    break;
                case ZipEntryKind.Directory when directory is not null:
                    MakeDirectory(directory, entry.Path);
                    break;
                case ZipEntryKind.File:
                    await WriteFileAsync(zip, entry, directory, cancellationToken).ConfigureAwait(false);
                    break;
            }
        }

        tree.CheckLinks();
        if (directory is not null)
        {
            foreach (var (entry, target) in links)
            {
                MakeParent(directory, entry.Path);
                File.CreateSymbolicLink(Path.Combine(directory, entry.Path), target);
            }

            File.SetUnixFileMode(directory, DirectoryMode);
        }
    }

    private static async Task WriteFileAsync(ReadOnlyMemory<byte> zip, ZipEntry entry, string? directory, CancellationToken cancellationToken)
    {
        if (directory is null)
        {
            await ZipContent.CopyAsync(zip, entry, Stream.Null, cancellationToken).ConfigureAwait(false);
            return;
        }

        MakeParent(directory, entry.Path);
        var path = Path.Combine(directory, entry.Path);
        // CreateNew: should the file system fold names that the tree holds apart, the second fails instead of overwriting the first.
        await using var file = new FileStream(path, System.IO.FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.None);
        await ZipContent.CopyAsync(zip, entry, file, cancellationToken).ConfigureAwait(false);
        File.SetUnixFileMode(file.SafeFileHandle, entry.Executable ? FileMode | ExecuteBits : FileMode);
    }

    private static void MakeParent(string root, string path)
    {
        if (path.LastIndexOf('/') is > 0 and var slash)
        {
            MakeDirectory(root, path[..slash]);
        }
    }

    private static void MakeDirectory(string root, string path)
    {
        var full = Path.Combine(root, path);
        if (Directory.Exists(full))
        {
            return;
        }

        MakeParent(root, path);
        Directory.CreateDirectory(full);
        File.SetUnixFileMode(full, DirectoryMode);
    }
}

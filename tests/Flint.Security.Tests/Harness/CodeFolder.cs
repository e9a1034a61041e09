namespace Flint.Security.Tests.Harness;

/// <summary>The folder that plays the server's folder of unpacked code: one child per language, readable for everybody, and gone at the end.</summary>
internal sealed class CodeFolder : IDisposable
{
    public CodeFolder()
    {
        Path = Directory.CreateTempSubdirectory("flint-security-").FullName;
        MakeReadable(Path);
        foreach (var language in (string[])["python", "node"])
        {
            Copy(System.IO.Path.Combine(AppContext.BaseDirectory, "programs", language), language);
        }
    }

    public string Path { get; }

    /// <summary>A child with the files of a folder, and of nothing else.</summary>
    public void Copy(string from, string name)
    {
        var target = Directory.CreateDirectory(System.IO.Path.Combine(Path, name)).FullName;
        MakeReadable(target);
        foreach (var file in Directory.EnumerateFiles(from))
        {
            var copy = System.IO.Path.Combine(target, System.IO.Path.GetFileName(file));
            File.Copy(file, copy);
            File.SetUnixFileMode(copy, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        }
    }

    /// <summary>Lets everybody write into a child: then only the read-only mount keeps a guest from it.</summary>
    public void MakeWritable(string name) => File.SetUnixFileMode(System.IO.Path.Combine(Path, name), (UnixFileMode)0b111_111_111);

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static void MakeReadable(string path) => File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
}

namespace Flint.Data;

/// <summary>Directories that only Flint's user may enter.</summary>
internal static class DataDirectory
{
    /// <summary>Creates what is missing with mode 0700; a directory that is there keeps its mode.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="knob">The setting that names it.</param>
    public static void Create(string path, string knob)
    {
        try
        {
            if (OperatingSystem.IsWindows())
            {
                Directory.CreateDirectory(path);
            }
            else
            {
                Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DatabaseException($"The directory {path} ({knob}) cannot be created: {exception.Message}", exception);
        }
    }
}

namespace Flint.Server.Packages;

internal enum ZipEntryKind { File, Directory, Link }

/// <summary>One checked entry: its bytes lie at <see cref="DataOffset"/> and overlap with no other's.</summary>
internal sealed record ZipEntry
{
    /// <summary>Safe relative path; see <see cref="EntryNames.Check"/>.</summary>
    public required string Path { get; init; }
    public required ZipEntryKind Kind { get; init; }
    public required bool Executable { get; init; }
    public required bool Deflated { get; init; }
    public required long CompressedSize { get; init; }
    public required long Size { get; init; }
    public required uint Crc { get; init; }
    public required long HeaderOffset { get; init; }
    public long DataOffset { get; set; }
}

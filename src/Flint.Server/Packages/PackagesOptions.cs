using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Packages;

/// <summary>Limits on uploaded code. Every one is checked before the bytes that it bounds are written.</summary>
public sealed class PackagesOptions
{
    /// <summary>Size of an uploaded zip in bytes.</summary>
    /// <remarks>AWS Lambda's limit for direct uploads.</remarks>
    [Range(1024, 1024L * 1024 * 1024)]
    public long MaxZipBytes { get; set; } = 50L * 1024 * 1024;

    /// <summary>Size of all unpacked files of a package together, in bytes.</summary>
    /// <remarks>AWS Lambda's limit.</remarks>
    [Range(1024, 10L * 1024 * 1024 * 1024)]
    public long MaxUnzippedBytes { get; set; } = 250L * 1024 * 1024;

    /// <summary>Entries of a package: files, links and directories, also those that only the names of others imply.</summary>
    /// <remarks>What a zip directory without extensions can count.</remarks>
    [Range(1, 65534)]
    public int MaxEntries { get; set; } = 65534;

    /// <summary>How many times larger than its compressed form an entry of more than 1 MB may be.</summary>
    /// <remarks>Source code compresses 3 to 20 times; a bomb made of zeros about 1030 times.</remarks>
    [Range(2, 2000)]
    public int MaxCompressionRatio { get; set; } = 250;

    /// <summary>Length of an entry's name in UTF-8 bytes.</summary>
    /// <remarks>A quarter of Linux's PATH_MAX.</remarks>
    [Range(16, 4000)]
    public int MaxNameBytes { get; set; } = 1024;

    /// <summary>Directories that an entry may lie deep.</summary>
    /// <remarks>Nested node_modules seldom pass 20.</remarks>
    [Range(1, 256)]
    public int MaxDepth { get; set; } = 64;

    /// <summary>Size of inline code in bytes.</summary>
    /// <remarks>AWS's console edits sources up to 3 MB.</remarks>
    [Range(1, 64 * 1024 * 1024)]
    public int MaxInlineBytes { get; set; } = 4 * 1024 * 1024;

    /// <summary>How long unpacked code that nothing uses stays on this server's disk, in minutes.</summary>
    /// <remarks>Long enough for a request that is being answered; the stored zip makes it anew.</remarks>
    [Range(1, 525_600)]
    public int UnusedCodeMinutes { get; set; } = 60;
}

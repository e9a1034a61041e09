namespace Flint.Data.Blobs;

/// <summary>Checks the parts of a blob's name before they become part of a path or a key.</summary>
internal static class BlobName
{
    /// <summary>Throws <see cref="ArgumentException"/> unless the tenant is 1 to 63 of [a-z0-9-] and the hash 64 of [0-9a-f].</summary>
    public static void Check(string tenantId, string sha256)
    {
        if (tenantId.Length is 0 or > 63 || tenantId.AsSpan().ContainsAnyExcept("abcdefghijklmnopqrstuvwxyz0123456789-"))
        {
            throw new ArgumentException("A tenant id is 1 to 63 characters of a-z, 0-9 and -.", nameof(tenantId));
        }

        if (sha256.Length != 64 || sha256.AsSpan().ContainsAnyExcept("0123456789abcdef"))
        {
            throw new ArgumentException("A SHA-256 is 64 characters of 0-9 and a-f.", nameof(sha256));
        }
    }
}

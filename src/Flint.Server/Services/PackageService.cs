using System.Security.Cryptography;
using Flint.Contracts.Functions;
using Flint.Data.Blobs;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Server.Packages;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Services;

/// <summary>Takes code in, once per content, and gives it out. Thread-safe.</summary>
internal sealed class PackageService(ICatalogStore catalog, IBlobStore blobs, PackagesOptions limits, TimeProvider time) : IDisposable
{
    /// <summary>How long code that nothing names stays: a deployment stores its code before it names it.</summary>
    private static readonly TimeSpan UnnamedAge = TimeSpan.FromHours(1);

    /// <summary>Storing and forgetting exclude each other on this server, so that what one finds stored the other does not just remove.</summary>
    private readonly SemaphoreSlim _storing = new(1, 1);

    public void Dispose() => _storing.Dispose();

    /// <summary>The package that a JSON body gives. Throws <see cref="RefusedException"/>.</summary>
    public byte[] FromSource(string? inline, byte[]? zip, string runtime, string handler, string field)
    {
        if (inline is null == zip is null)
        {
            throw new RefusedException("invalid_code", "Code is exactly one of inline and zip.", field: field);
        }

        return zip ?? InlineCode.Pack(inline!, runtime, handler, limits);
    }

    public byte[] FromSource(CodeSource? code, string runtime, string handler) => code is null
        ? throw FunctionRules.Missing("code")
        : FromSource(code.Inline, code.Zip, runtime, handler, "code");

    /// <summary>Checks the package and stores it durably; its hash and size. It is kept for an hour at least, named or not.</summary>
    public async Task<(string Sha256, long Size)> StoreAsync(string tenantId, byte[] zip, string field, CancellationToken cancellationToken)
    {
        try
        {
            await PackageUnpacker.CheckAsync(zip, limits, cancellationToken).ConfigureAwait(false);
        }
        catch (RefusedException refused)
        {
            throw refused.In(field);
        }

        var sha256 = Convert.ToHexStringLower(SHA256.HashData(zip));
        var now = time.Now();
        await _storing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await catalog.WriteAsync(async (db, token) =>
            {
                var blob = await db.CodeBlobs.AsTracking().SingleOrDefaultAsync(b => b.TenantId == tenantId && b.Sha256 == sha256, token);
                if (blob is null)
                {
                    db.CodeBlobs.Add(new CodeBlobEntity { TenantId = tenantId, Sha256 = sha256, SizeBytes = zip.Length, CreatedAt = now });
                }
                else
                {
                    blob.CreatedAt = now;
                }

                return await db.SaveChangesAsync(token);
            }, cancellationToken).ConfigureAwait(false);
            await blobs.PutAsync(tenantId, sha256, zip, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _storing.Release();
        }

        return (sha256, zip.Length);
    }

    public Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken) =>
        blobs.OpenAsync(tenantId, sha256, cancellationToken);

    /// <summary>Removes stored code that neither a function nor a version names. Returns how many packages went.</summary>
    public async Task<int> ForgetUnnamedAsync(CancellationToken cancellationToken)
    {
        var oldest = time.Now() - UnnamedAge;
        await _storing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var gone = await catalog.WriteAsync(async (db, token) =>
            {
                var unnamed = await db.CodeBlobs.AsTracking()
                    .Where(b => b.CreatedAt < oldest
                        && !db.Functions.Any(f => f.TenantId == b.TenantId && f.CodeSha256 == b.Sha256)
                        && !db.FunctionVersions.Any(v => v.TenantId == b.TenantId && v.CodeSha256 == b.Sha256))
                    .Take(100).ToListAsync(token);
                db.CodeBlobs.RemoveRange(unnamed);
                await db.SaveChangesAsync(token);
                return unnamed;
            }, cancellationToken).ConfigureAwait(false);
            foreach (var blob in gone)
            {
                await blobs.DeleteAsync(blob.TenantId, blob.Sha256, cancellationToken).ConfigureAwait(false);
            }

            return gone.Count;
        }
        finally
        {
            _storing.Release();
        }
    }
}

using System.Security.Cryptography;
using Flint.Contracts.Functions;
using Flint.Data;
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

    private const int Attempts = 5;

    /// <summary>Storing and forgetting exclude each other on this server; between servers the rows and <see cref="IBlobStore.DeleteAsync"/> see to it.</summary>
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
        await _storing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // The row first: who forgets the package on another server looks for it before the bytes go.
            await NameAsync(tenantId, sha256, zip.Length, cancellationToken).ConfigureAwait(false);
            await blobs.PutAsync(tenantId, sha256, zip, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _storing.Release();
        }

        return (sha256, zip.Length);
    }

    /// <summary>Makes the package's row, or makes it young again.</summary>
    private async Task NameAsync(string tenantId, string sha256, long size, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var now = time.Now();
            try
            {
                await catalog.WriteAsync(async (db, token) =>
                {
                    var known = await db.CodeBlobs.Where(b => b.TenantId == tenantId && b.Sha256 == sha256)
                        .ExecuteUpdateAsync(set => set.SetProperty(b => b.CreatedAt, now), token);
                    if (known == 0)
                    {
                        db.CodeBlobs.Add(new CodeBlobEntity { TenantId = tenantId, Sha256 = sha256, SizeBytes = size, CreatedAt = now });
                        await db.SaveChangesAsync(token);
                    }

                    return known;
                }, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (UniqueKeyException) when (attempt < Attempts)
            {
                // Another server stored the same content in between.
            }
        }
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
            var gone = await catalog.WriteAsync((db, token) => RemoveUnnamedAsync(db, oldest, token), cancellationToken).ConfigureAwait(false);
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

    /// <summary>Each row goes by one statement that looks again whether it is old and unnamed: another server may have taken it up since it was listed.</summary>
    private static async Task<List<CodeBlobEntity>> RemoveUnnamedAsync(FlintDbContext db, DateTimeOffset oldest, CancellationToken cancellationToken)
    {
        var unnamed = db.CodeBlobs.AsNoTracking().Where(b => b.CreatedAt < oldest
            && !db.Functions.Any(f => f.TenantId == b.TenantId && f.CodeSha256 == b.Sha256)
            && !db.FunctionVersions.Any(v => v.TenantId == b.TenantId && v.CodeSha256 == b.Sha256));
        var gone = new List<CodeBlobEntity>();
        foreach (var blob in await unnamed.Take(100).ToListAsync(cancellationToken).ConfigureAwait(false))
        {
            if (await unnamed.Where(b => b.TenantId == blob.TenantId && b.Sha256 == blob.Sha256).ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false) > 0)
            {
                gone.Add(blob);
            }
        }

        return gone;
    }
}

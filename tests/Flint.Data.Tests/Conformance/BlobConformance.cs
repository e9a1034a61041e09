namespace Flint.Data.Tests.Conformance;

public abstract class BlobConformance : StoreConformance
{
    [Fact]
    public async Task Bytes_read_back_as_put()
    {
        var content = new byte[3 << 20];
        new Random(1).NextBytes(content);
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), content, default);
        (await ReadAsync("default", 'a')).ShouldBe(content);
    }

    [Fact]
    public async Task An_empty_blob_is_not_a_missing_one()
    {
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), ReadOnlyMemory<byte>.Empty, default);
        (await ReadAsync("default", 'a')).ShouldBe([]);
        (await ReadAsync("default", 'b')).ShouldBeNull();
    }

    [Fact]
    public async Task Putting_again_is_a_success_and_keeps_the_first()
    {
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), "one"u8.ToArray(), default);
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), "two"u8.ToArray(), default);
        (await ReadAsync("default", 'a')).ShouldBe("one"u8.ToArray());
    }

    [Fact]
    public async Task Parallel_puts_of_one_blob_all_succeed()
    {
        var content = new byte[200_000];
        await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => Store.Blobs.PutAsync("default", Rows.Sha('a'), content, default))));
        (await ReadAsync("default", 'a')).ShouldBe(content);
    }

    [Fact]
    public async Task Tenants_have_blobs_of_their_own()
    {
        await Store.Blobs.PutAsync("one", Rows.Sha('a'), "one"u8.ToArray(), default);
        (await ReadAsync("two", 'a')).ShouldBeNull();
        await Store.Blobs.DeleteAsync("two", Rows.Sha('a'), default);
        (await ReadAsync("one", 'a')).ShouldBe("one"u8.ToArray());
    }

    [Fact]
    public async Task Deleting_removes_and_deleting_again_succeeds()
    {
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), "one"u8.ToArray(), default);
        await Store.Blobs.DeleteAsync("default", Rows.Sha('a'), default);
        await Store.Blobs.DeleteAsync("default", Rows.Sha('a'), default);
        (await ReadAsync("default", 'a')).ShouldBeNull();
    }

    [Fact]
    public async Task A_blob_survives_reopening()
    {
        await Store.Blobs.PutAsync("default", Rows.Sha('a'), "one"u8.ToArray(), default);
        await ReopenAsync();
        (await ReadAsync("default", 'a')).ShouldBe("one"u8.ToArray());
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("")]
    [InlineData("A")]
    [InlineData("a/b")]
    [InlineData("a\0")]
    [InlineData(".")]
    public async Task A_tenant_that_is_no_plain_name_is_refused(string tenant)
    {
        await Should.ThrowAsync<ArgumentException>(() => Store.Blobs.PutAsync(tenant, Rows.Sha('a'), new byte[1], default));
        await Should.ThrowAsync<ArgumentException>(() => Store.Blobs.OpenAsync(tenant, Rows.Sha('a'), default));
        await Should.ThrowAsync<ArgumentException>(() => Store.Blobs.DeleteAsync(tenant, Rows.Sha('a'), default));
    }

    [Theory]
    [InlineData("abc")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("../../../../../../../../../../../../../../../../../../../../etc/pw")]
    public async Task A_hash_of_another_form_is_refused(string sha) =>
        await Should.ThrowAsync<ArgumentException>(() => Store.Blobs.PutAsync("default", sha, new byte[1], default));

    private async Task<byte[]?> ReadAsync(string tenant, char digit)
    {
        await using var stream = await Store.Blobs.OpenAsync(tenant, Rows.Sha(digit), default);
        if (stream is null)
        {
            return null;
        }

        var copy = new MemoryStream();
        await stream.CopyToAsync(copy);
        return copy.ToArray();
    }
}

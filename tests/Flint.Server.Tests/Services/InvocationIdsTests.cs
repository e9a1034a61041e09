using Flint.Server.Services;

namespace Flint.Server.Tests.Services;

public sealed class InvocationIdsTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Ids_of_one_moment_sort_in_the_order_in_which_they_were_made()
    {
        var ids = new InvocationIds();
        var made = Enumerable.Range(0, 10_000).Select(_ => ids.Next(Noon)).ToArray();
        made.ShouldBe(made.Distinct().Order(StringComparer.Ordinal));
        made.ShouldAllBe(id => id[14] == '7' && "89ab".Contains(id[19]));
    }

    [Fact]
    public void A_clock_that_goes_back_does_not_turn_the_order_around()
    {
        var ids = new InvocationIds();
        var before = ids.Next(Noon);
        var after = ids.Next(Noon.AddSeconds(-5));
        string.CompareOrdinal(before, after).ShouldBeLessThan(0);
        string.CompareOrdinal(after, ids.Next(Noon.AddMilliseconds(1))).ShouldBeLessThan(0);
    }

    [Fact]
    public void Two_servers_in_the_same_moment_share_no_id()
    {
        var (one, other) = (new InvocationIds(), new InvocationIds());
        var made = Enumerable.Range(0, 1000).SelectMany(_ => (string[])[one.Next(Noon), other.Next(Noon)]).ToArray();
        made.Distinct().Count().ShouldBe(2000);
        // The random part alone differs, too, and keeps its form.
        made.Select(id => id[19..]).Distinct().Count().ShouldBe(2000);
        var milliseconds = Noon.ToUnixTimeMilliseconds().ToString("x12", System.Globalization.CultureInfo.InvariantCulture);
        made.ShouldAllBe(id => id.Replace("-", "").StartsWith(milliseconds) && id[14] == '7' && "89ab".Contains(id[19]));
    }

    [Fact]
    public void Many_threads_never_share_an_id()
    {
        var ids = new InvocationIds();
        var made = new string[4][];
        Parallel.For(0, made.Length, i => made[i] = [.. Enumerable.Range(0, 5_000).Select(_ => ids.Next(Noon))]);
        made.SelectMany(one => one).Distinct().Count().ShouldBe(20_000);
    }
}

using Flint.Runtime.Pooling;

namespace Flint.Runtime.Tests.Pooling;

public sealed class EvictionOrderTests
{
    [Fact]
    public void For_a_place_the_longest_idle_goes_first() =>
        First(EvictionReason.Count, One(10, 128), One(30, 128), One(20, 4096)).ShouldBe(1);

    [Fact]
    public void For_memory_size_times_idle_time_decides() =>
        First(EvictionReason.Memory, One(10, 128), One(30, 128), One(20, 4096)).ShouldBe(2);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void The_last_one_of_a_function_goes_after_any_surplus(int reason) =>
        First((EvictionReason)reason, One(1000, 4096, last: true), One(1, 128)).ShouldBe(1);

    [Fact]
    public void The_order_is_total()
    {
        var random = new Random(5);
        var all = Enumerable.Range(0, 200).Select(_ => One(random.Next(10), 128 * random.Next(1, 4), random.Next(2) == 0)).ToArray();
        foreach (var reason in Enum.GetValues<EvictionReason>())
        {
            foreach (var (a, b, c) in all.Zip(all.Skip(1), all.Skip(2)))
            {
                int Compare(EvictionCandidate x, EvictionCandidate y) => Math.Sign(EvictionOrder.Compare(x, y, reason));
                Compare(a, b).ShouldBe(-Compare(b, a));
                if (Compare(a, b) <= 0 && Compare(b, c) <= 0)
                {
                    Compare(a, c).ShouldBeLessThanOrEqualTo(0);
                }
            }
        }
    }

    private static EvictionCandidate One(int idleSeconds, int memoryMb, bool last = false) => new(TimeSpan.FromSeconds(idleSeconds), memoryMb, last);

    private static int First(EvictionReason reason, params EvictionCandidate[] candidates) =>
        Array.IndexOf(candidates, candidates.Order(Comparer<EvictionCandidate>.Create((a, b) => EvictionOrder.Compare(a, b, reason))).First());
}

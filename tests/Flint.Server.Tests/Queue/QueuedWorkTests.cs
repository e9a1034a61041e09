using Flint.Server.Queue;

namespace Flint.Server.Tests.Queue;

public sealed class QueuedWorkTests
{
    /// <summary>What an older server wrote lacks the members that came later.</summary>
    [Fact]
    public void Absent_members_have_their_defaults()
    {
        var work = QueuedWork.Parse("""{"delivery":{"url":"https://a.example/","cause":"x"},"retry":{"maxAgeMs":5}}""");
        work.Retry.ShouldBe(new RetryRules { MaxAgeMs = 5 });
        work.Retry.Backoff.ShouldBe("exponential");
        work.Delivery!.Event.ShouldBe("invocation.completed");
        work.Depth.ShouldBe(0);
    }
}

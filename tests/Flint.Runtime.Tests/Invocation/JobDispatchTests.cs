using System.Collections.Concurrent;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Invocation;

/// <summary>What the dispatcher does otherwise for a job than for a function.</summary>
public sealed class JobDispatchTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    private static FunctionSpec Job() => Plane.Function("job") with
    {
        Call = GuestCall.Main,
        Handler = "main.main",
        Freshness = Freshness.Fresh,
        CpuQuotaMilli = 500,
        CancelOnDisconnect = true,
    };

    [Fact]
    public async Task Its_sandbox_has_its_quota_and_its_own_environment_without_Lambdas()
    {
        await using var plane = new Plane();
        var request = Plane.Request(Job() with { Environment = Plane.Function().Environment.Add("MINE", "1").Add("FLINT_JOB_ID", "forged") });
        (await plane.Dispatcher.DispatchAsync(request, default, default)).Status.ShouldBe(InvocationStatus.Completed);

        plane.Engine.Last.Spec.CpuQuotaMilli.ShouldBe(500);
        plane.Engine.Last.Spec.Environment.OrderBy(static pair => pair.Key).ShouldBe(
            [new("FLINT_JOB_ID", request.Id), new("MINE", "1"), new("TMPDIR", "/tmp")]);
        plane.Engine.Last.Init.GetProperty("call").GetString().ShouldBe("main");
        plane.Engine.Last.Init.GetProperty("globals").GetString().ShouldBe("full");
    }

    [Fact]
    public async Task A_function_has_no_quota_and_Lambdas_environment()
    {
        await using var plane = new Plane();
        (await plane.InvokeAsync()).Status.ShouldBe(InvocationStatus.Completed);

        plane.Engine.Last.Spec.CpuQuotaMilli.ShouldBeNull();
        plane.Engine.Last.Spec.Environment["AWS_LAMBDA_FUNCTION_NAME"].ShouldBe("hello");
        plane.Engine.Last.Spec.Environment.Keys.ShouldNotContain("FLINT_JOB_ID");
        plane.Engine.Last.Init.GetProperty("call").GetString().ShouldBe("handler");
    }

    [Fact]
    public async Task Lines_are_heard_while_it_runs_and_are_the_logs()
    {
        var release = new TaskCompletionSource();
        await using var plane = new Plane(script: new FakeScript
        {
            OnEvent = async e =>
            {
                await e.LogAsync("working");
                await release.Task;
                return FakeAnswer.Json("1");
            },
        });
        var heard = new ConcurrentQueue<LogLine>();
        var running = plane.Dispatcher.DispatchAsync(Plane.Request(Job()) with { OnLine = heard.Enqueue }, default, default);
        await Eventually.True(() => heard.Any(static line => line.Text == "working"), "it is heard before the answer");
        heard.First().Text.ShouldStartWith("START");
        running.IsCompleted.ShouldBeFalse();
        release.SetResult();
        heard.ShouldBe((await running.WaitAsync(Bound)).Log.Lines);
        heard.Last().Text.ShouldStartWith("REPORT");
    }

    [Fact]
    public async Task Cancelling_kills_it_and_keeps_its_log()
    {
        await using var plane = new Plane(script: new FakeScript
        {
            OnEvent = async e =>
            {
                await e.LogAsync("so far");
                return new FakeAnswer.Hang();
            },
        });
        using var caller = new CancellationTokenSource();
        var heard = new ConcurrentQueue<LogLine>();
        var running = plane.Dispatcher.DispatchAsync(Plane.Request(Job()) with { OnLine = heard.Enqueue }, caller.Token, default);
        await Eventually.True(() => heard.Any(static line => line.Text == "so far"), "it runs");
        await caller.CancelAsync();
        var outcome = await running.WaitAsync(Bound);
        outcome.Status.ShouldBe(InvocationStatus.Cancelled);
        outcome.Error!.Message.ShouldBe("The job was cancelled.");
        outcome.Log.Lines.ShouldContain(static line => line.Text == "so far");
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public void Every_fault_has_one_owner()
    {
        FaultType.Expired.Owner().ShouldBe(FaultOwner.Caller);
        Enum.GetValues<FaultType>().Where(static type => type.Owner() == FaultOwner.Platform).ShouldBe([FaultType.SandboxLost, FaultType.EngineUnavailable]);
    }
}

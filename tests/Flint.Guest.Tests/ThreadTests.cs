using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

/// <summary>The thread that brings a guest's bytes also serves others, so a guest may keep it for a moment only.</summary>
public sealed class ThreadTests
{
    [Fact]
    public void A_guest_that_never_stops_writing_does_not_keep_the_thread()
    {
        ThreadsOf(200, out int caller).ShouldContain(thread => thread != caller);
    }

    [Fact]
    public void A_guest_that_writes_a_little_is_read_where_its_bytes_come()
    {
        ThreadsOf(5, out int caller).ShouldBe([caller]);
    }

    [Fact]
    public async Task No_nonce_is_used_twice()
    {
        ScriptedSandbox sandbox = new ScriptedSandbox().First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk]);
        const int Invocations = 100;
        for (int index = 0; index < Invocations; index++)
        {
            sandbox.Then(nonce => [GuestFrames.Result(nonce, "1"u8)]);
        }
        GuestConnection connection = new(sandbox, new GuestLimits());
        InvocationLog log = new(1024, TimeProvider.System);
        (await connection.InitAsync(Init, log, CancellationToken.None)).ShouldBeNull();
        for (int index = 0; index < Invocations; index++)
        {
            (await connection.InvokeAsync(Invoke, log, CancellationToken.None)).Error.ShouldBeNull();
        }
        sandbox.Writes.Skip(1).Select(frame => Convert.ToHexString(frame[8..24])).Distinct().Count().ShouldBe(Invocations);
    }

    private static GuestInit Init => new()
    {
        Handler = "main.handler",
        FunctionName = "f",
        FunctionVersion = "$LATEST",
        InvokedFunctionArn = "arn",
        MemoryMb = 128,
    };

    private static GuestInvoke Invoke => new("r-1", DateTimeOffset.UnixEpoch, "{}"u8.ToArray(), null, null);

    /// <summary>The threads on which the lines of a guest were taken that had written all of them, and its answer, before the first was read.</summary>
    private static IReadOnlyList<int> ThreadsOf(int lines, out int caller)
    {
        ThreadClock clock = new();
        int ours = 0;
        // A thread of its own: the pool could not be told apart from itself.
        Thread thread = new(() =>
        {
            ours = Environment.CurrentManagedThreadId;
            ScriptedSandbox sandbox = new ScriptedSandbox()
                .First(GuestFrames.Ready)
                .Then(_ => [GuestFrames.InitOk])
                .Then(nonce => [.. Enumerable.Repeat(GuestFrames.Log(1, "line"u8), lines), GuestFrames.Result(nonce, "1"u8)]);
            GuestConnection connection = new(sandbox, new GuestLimits());
            InvocationLog log = new(1024 * 1024, clock);
            connection.InitAsync(Init, log, CancellationToken.None).GetAwaiter().GetResult();
            connection.InvokeAsync(Invoke, log, CancellationToken.None).AsTask().GetAwaiter().GetResult().Error.ShouldBeNull();
            log.Complete().Lines.Count.ShouldBe(lines);
        });
        thread.Start();
        thread.Join();
        caller = ours;
        return clock.Threads;
    }

    /// <summary>Every line is stamped, so the clock sees each thread that takes one.</summary>
    private sealed class ThreadClock : TimeProvider
    {
        private readonly List<int> _threads = [];

        public IReadOnlyList<int> Threads => [.. _threads.Distinct()];

        public override DateTimeOffset GetUtcNow()
        {
            _threads.Add(Environment.CurrentManagedThreadId);
            return DateTimeOffset.UnixEpoch;
        }
    }
}

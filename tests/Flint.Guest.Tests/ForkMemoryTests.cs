using System.Text.Json;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>The heap's limit is fixed when a zygote boots; each fork has its function's.</summary>
public sealed class ForkMemoryTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    private const string Fill = "exports.handler = async () => { const all = []; for (;;) { all.push(new Array(1000).fill(all.length)); } };";

    private const string Reach = """
        exports.handler = async (megabytes) => {
          const all = [];
          while (process.memoryUsage().heapUsed < megabytes * 1048576) { all.push(new Array(1000).fill(all.length)); }
          return require('v8').getHeapStatistics().heap_size_limit / 1048576;
        };
        """;

    private const string Churn = """
        exports.handler = async (rounds) => {
          const { Worker } = require('worker_threads');
          let live = [];
          for (let i = 0; i < rounds; i++) {
            live.push({ i, text: 'x' + i, list: [i, i + 1] });
            if (live.length > 20000) { live = live.slice(10000); }
          }
          require('v8').setFlagsFromString('--expose-gc');
          require('vm').runInNewContext('gc')();
          await require('fs').promises.readFile(__filename);
          return live.at(-1).i;
        };
        """;

    [Fact]
    public async Task A_small_functions_heap_is_limited_and_its_end_is_known()
    {
        using TestFunction function = new("nodejs20", Fill);
        TestAnswer answer = await function.InvokeAsync(zygotes.Of("nodejs20"), memoryMb: 128);
        answer.Exit?.Signal.ShouldBe(6);
        GuestExits.Classify(answer.Exit!, answer.Log, "id").Type.ShouldBe(FaultType.OutOfMemory);
    }

    /// <param name="memoryMb">The function's memory.</param>
    /// <param name="megabytes">What it fills: as much as one that was started could.</param>
    /// <param name="limit">Its own heap and three semi-spaces of 8 MB.</param>
    [Theory]
    [InlineData(128, 80, 88 + 24)]
    [InlineData(512, 400, 460 + 24)]
    public async Task A_functions_heap_can_be_used_up_to_its_limit(int memoryMb, int megabytes, int limit)
    {
        using TestFunction function = new("nodejs20", Reach);
        (await function.InvokeAsync(zygotes.Of("nodejs20"), $"{megabytes}", memoryMb)).Result.ShouldBe($"{limit}");
    }

    [Fact]
    public async Task A_large_functions_heap_is_larger_than_an_interpreters_own()
    {
        using TestFunction function = new("nodejs20", Reach);
        (await function.InvokeAsync(zygotes.Of("nodejs20"), "50", 8192)).Result.ShouldBe($"{(8192 * 9 / 10) + 24}");
    }

    [Fact(Explicit = true)]
    public async Task A_large_functions_heap_can_be_used()
    {
        using TestFunction function = new("nodejs20", Reach);
        (await function.InvokeAsync(zygotes.Of("nodejs20"), "5000", 8192)).Result.ShouldBe($"{(8192 * 9 / 10) + 24}");
    }

    [Fact]
    public async Task Workers_and_child_processes_have_the_functions_limit_too()
    {
        using TestFunction function = new("nodejs20", """
            const limit = "require('v8').getHeapStatistics().heap_size_limit / 1048576";
            exports.handler = async () => {
              const worker = new (require('worker_threads').Worker)(`require('worker_threads').parentPort.postMessage(${limit})`, { eval: true });
              const inWorker = await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
              const inChild = Number(require('child_process').execFileSync(process.execPath, [...process.execArgv, '-p', limit]));
              return [inWorker, inChild];
            };
            """);
        TestAnswer answer = await function.InvokeAsync(zygotes.Of("nodejs20"), memoryMb: 128);
        int[] limits = JsonSerializer.Deserialize<int[]>(answer.Result ?? throw new InvalidOperationException(answer.ToString()))!;
        limits.ShouldAllBe(limit => limit >= 88 && limit < 128);
    }

    [Fact]
    public async Task Hundreds_of_forks_collect_garbage_and_none_fails()
    {
        using TestFunction function = new("nodejs20", Churn);
        ZygoteGuests zygote = zygotes.Of("nodejs20");
        for (int batch = 0; batch < 40; batch++)
        {
            TestAnswer[] answers = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => function.InvokeAsync(zygote, "40000", memoryMb: 128)));
            answers.ShouldAllBe(answer => answer.Result == "39999", string.Join('\n', answers.Select(answer => answer.ToString())));
        }
    }
}

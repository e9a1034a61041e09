using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>What must work in a fork of an interpreter, although no interpreter was made for it.</summary>
public sealed class ForkFeatureTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    public static TheoryData<string, string> Features { get; } = AllFeatures();

    [Theory]
    [MemberData(nameof(Features))]
    public async Task A_fork_does_what_a_started_guest_does(string runtime, string feature)
    {
        using TestFunction function = new(runtime, GuestFeatures.Source(runtime, feature));
        TestAnswer answer = await function.InvokeAsync(zygotes.Of(runtime));
        answer.Result.ShouldBe("true", Explain(answer));
    }

    [Fact]
    public async Task An_ES_module_with_top_level_await_runs_in_a_fork()
    {
        using TestFunction function = new("nodejs20", """
            import { setTimeout as wait } from 'node:timers/promises';
            import fs from 'node:fs/promises';
            const value = await wait(1, 'waited');
            export const handler = async () => value === 'waited' && (await fs.stat('/')).isDirectory() && (await import('node:path')).sep === '/';
            """);
        (await function.InvokeAsync(zygotes.Of("nodejs20"))).Result.ShouldBe("true");
    }

    /// <summary>V8 optimises WebAssembly on worker threads alone, which a fork must get somehow.</summary>
    [Fact]
    public async Task WebAssembly_is_optimised_in_a_fork()
    {
        using TestFunction function = new("nodejs20", """
            require('v8').setFlagsFromString('--trace-wasm-compilation-times');
            const bytes = Buffer.from('0061736d0100000001060160017f017f03020100070501016600000a1e011c01017f034020014107' +
              '6c20006a2101200041016b22000d000b20010b', 'hex');
            exports.handler = async () => {
              const { f } = (await WebAssembly.instantiate(bytes)).instance.exports;
              for (let i = 0; i < 50; i++) {
                f(1000000);
                await new Promise((resolve) => setTimeout(resolve, 2));
              }
              return require('fs').readdirSync('/proc/self/task').length;
            };
            """);
        TestAnswer answer = await function.InvokeAsync(zygotes.Of("nodejs20"));
        answer.Result.ShouldBe("1");
        answer.Log.Lines.Select(line => line.Text).ShouldContain(line => line.Contains("using TurboFan", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_exit_listener_runs_before_a_fork_ends()
    {
        using TestFunction function = new("nodejs20", "process.on('exit', (s) => console.log('leaving', s));\nexports.handler = async () => process.exit(3);");
        TestAnswer answer = await function.InvokeAsync(zygotes.Of("nodejs20"));
        answer.Exit?.ExitCode.ShouldBe(3);
        answer.Log.Lines.Select(line => line.Text).ShouldContain(line => line.EndsWith("leaving 3", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_functions_own_module_has_its_name_although_the_zygote_has_another()
    {
        using TestFunction function = new("python3.11", "import queue, secrets, logging\ndef handler(event, context):\n    return [queue.mine, secrets.mine, hasattr(logging, 'mine')]");
        await File.WriteAllTextAsync(Path.Combine(function.Directory, "queue.py"), "mine = 1", TestContext.Current.CancellationToken);
        string package = Directory.CreateDirectory(Path.Combine(function.Directory, "secrets")).FullName;
        await File.WriteAllTextAsync(Path.Combine(package, "__init__.py"), "mine = 2", TestContext.Current.CancellationToken);
        Directory.CreateDirectory(Path.Combine(function.Directory, "logging"));
        (await function.InvokeAsync(zygotes.Of("python3.11"))).Result.ShouldBe("[1, 2, false]");
        (await function.InvokeAsync(ProcessGuests.Start(function.Spec()))).Result.ShouldBe("[1, 2, false]");
    }

    private static string Explain(TestAnswer answer) =>
        $"{answer.Error} {answer.Exit}\n{string.Join('\n', answer.Error?.StackTrace ?? [])}\n{string.Join('\n', answer.Log.Lines.Select(line => line.Text))}";

    private static TheoryData<string, string> AllFeatures()
    {
        TheoryData<string, string> data = [];
        foreach (string runtime in ProcessGuests.Runtimes)
        {
            foreach (string feature in GuestFeatures.Of(runtime))
            {
                data.Add(runtime, feature);
            }
        }
        return data;
    }
}

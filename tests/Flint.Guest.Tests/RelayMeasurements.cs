using System.Diagnostics;
using System.Text;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>Prints how long a bare guest takes to start and to answer. Run by hand (<c>-explicit only</c>): a busy machine measures itself.</summary>
public sealed class RelayMeasurements(ITestOutputHelper output)
{
    private const int Starts = 20;
    private const int WarmUp = 5_000;
    private const int Relays = 20_000;

    [Theory(Explicit = true)]
    [InlineData("python3.11")]
    [InlineData("nodejs20")]
    public async Task Measure(string runtime)
    {
        Interpreters.Require(runtime);
        DirectoryInfo code = Directory.CreateTempSubdirectory("flint-measure-");
        try
        {
            List<double> ready = [];
            List<double> loaded = [];
            for (int i = 0; i < Starts; i++)
            {
                long began = Stopwatch.GetTimestamp();
                ISandbox sandbox = await StartAsync(runtime, code.FullName);
                await sandbox.Channel.ReadExactlyAsync(new byte[1]);
                ready.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
                await sandbox.DestroyAsync();
                began = Stopwatch.GetTimestamp();
                (GuestConnection _, sandbox) = await LoadAsync(runtime, code.FullName);
                loaded.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
                await sandbox.DestroyAsync();
            }
            Report(runtime + " exec to READY, ms", ready);
            Report(runtime + " exec to INIT_OK, ms", loaded);
            Report(runtime + " relay of 1 KB, us", await RelayAsync(runtime, code.FullName));
        }
        finally
        {
            code.Delete(recursive: true);
        }
    }

    private static async Task<List<double>> RelayAsync(string runtime, string code)
    {
        (GuestConnection connection, ISandbox sandbox) = await LoadAsync(runtime, code);
        byte[] payload = Encoding.UTF8.GetBytes($"{{\"x\":\"{new string('y', 1000)}\"}}");
        List<double> times = [];
        long allocated = 0;
        for (int i = 0; i < WarmUp + Relays; i++)
        {
            if (i == WarmUp)
            {
                allocated = GC.GetTotalAllocatedBytes();
            }
            InvocationLog log = new(1024 * 1024, TimeProvider.System);
            long began = Stopwatch.GetTimestamp();
            GuestReply reply = await connection.InvokeAsync(
                new GuestInvoke("01890000-0000-7000-8000-000000000000", DateTimeOffset.MaxValue, payload, null, null), log, CancellationToken.None);
            times.Add(Stopwatch.GetElapsedTime(began).TotalMicroseconds);
            reply.Result.Length.ShouldBeGreaterThan(1000);
        }
        await sandbox.DestroyAsync();
        TestContext.Current.TestOutputHelper?.WriteLine($"{runtime}: {(GC.GetTotalAllocatedBytes() - allocated) / Relays} bytes allocated for a relay");
        return times[WarmUp..];
    }

    private static async Task<(GuestConnection, ISandbox)> LoadAsync(string runtime, string code)
    {
        ISandbox sandbox = await StartAsync(runtime, code);
        GuestConnection connection = new(sandbox, new GuestLimits());
        GuestInit init = new()
        {
            Handler = "main.handler",
            FunctionName = "f",
            FunctionVersion = "1",
            InvokedFunctionArn = "a",
            MemoryMb = 256,
            TaskRoot = code,
        };
        (await connection.InitAsync(init, new InvocationLog(1000, TimeProvider.System), CancellationToken.None)).ShouldBeNull();
        return (connection, sandbox);
    }

    private static async Task<ISandbox> StartAsync(string runtime, string code)
    {
        bool python = runtime.StartsWith("python", StringComparison.Ordinal);
        await File.WriteAllTextAsync(
            Path.Combine(code, python ? "main.py" : "main.js"),
            python ? "def handler(event, context):\n    return event\n" : "exports.handler = async (event) => event;\n");
        SandboxSpec spec = new()
        {
            TenantId = "default",
            Runtime = runtime,
            CodeDirectory = code,
            MemoryMb = 256,
            TmpMb = 64,
            Environment = new Dictionary<string, string>(),
        };
        return ProcessGuests.Start(spec);
    }

    private void Report(string what, List<double> values)
    {
        values.Sort();
        output.WriteLine($"{what}: least {values[0]:0.0}, p50 {values[values.Count / 2]:0.0}, p99 {values[values.Count * 99 / 100]:0.0}");
    }
}

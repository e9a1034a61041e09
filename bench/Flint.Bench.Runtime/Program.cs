using System.Diagnostics;
using System.Globalization;
using Flint.Bench.Runtime;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// What the invocation plane itself costs per invocation: dispatcher, pool, guest protocol; a guest that takes no time, no HTTP, no history.
var builder = Host.CreateEmptyApplicationBuilder(null);
builder.Services.AddSingleton<ISandboxEngine, InstantEngine>();
builder.Services.AddFlintRuntime();
using var host = builder.Build();
await host.StartAsync();
var dispatcher = host.Services.GetRequiredService<Dispatcher>();
var function = new FunctionSpec
{
    TenantId = "default",
    FunctionId = Guid.CreateVersion7().ToString(),
    Name = "bench",
    Version = "$LATEST",
    Revision = Guid.CreateVersion7().ToString(),
    Runtime = "python3.11",
    Handler = "main.handler",
    CodeDirectory = "/code",
};
var rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 200_000;
var payload = new byte[1024];
Array.Fill(payload, (byte)' ');
payload[0] = (byte)'1';

foreach (var (name, spec) in new[] { ("warm", function), ("fresh", function with { Freshness = Freshness.Fresh, Revision = "fresh" }) })
{
    foreach (var parallel in new[] { 1, 16 })
    {
        await RunAsync(spec, rounds / 4, parallel);
        var allocated = GC.GetTotalAllocatedBytes();
        var cpu = Environment.CpuUsage.TotalTime;
        var began = Stopwatch.GetTimestamp();
        await RunAsync(spec, rounds, parallel);
        var elapsed = Stopwatch.GetElapsedTime(began);
        cpu = Environment.CpuUsage.TotalTime - cpu;
        var bytes = (GC.GetTotalAllocatedBytes() - allocated) / rounds;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-5} {parallel,2} at a time: {elapsed.TotalMicroseconds / rounds:F2} us and {cpu.TotalMicroseconds / rounds:F2} us of CPU per invocation, {rounds / elapsed.TotalSeconds:F0}/s, {bytes} bytes allocated each"));
    }
}
await host.StopAsync();

Task RunAsync(FunctionSpec spec, int count, int parallel) => Task.WhenAll(Enumerable.Range(0, parallel).Select(_ => Task.Run(async () =>
{
    for (var i = 0; i < count / parallel; i++)
    {
        var request = new InvocationRequest { Id = "01980000-0000-7000-8000-000000000000", Function = spec, Payload = payload };
        var outcome = await dispatcher.DispatchAsync(request, CancellationToken.None, CancellationToken.None);
        if (outcome.Status != InvocationStatus.Completed)
        {
            throw new InvalidOperationException(outcome.Error!.Message);
        }
    }
})));

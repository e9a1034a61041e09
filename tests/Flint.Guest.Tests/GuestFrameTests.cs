using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>The frames of guest/conformance/frames.json that a worker might send, given to the real guests.</summary>
public sealed class GuestFrameTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    public static TheoryData<string, string> Vectors { get; } = AllVectors();

    [Theory]
    [MemberData(nameof(Vectors))]
    public async Task A_guest_takes_a_vector_as_the_protocol_says(string name, string runtime)
    {
        Interpreters.Require(runtime);
        ToGuestVector vector = FrameVectors.Load().ToGuest.Single(v => v.Name == name);
        DirectoryInfo code = Directory.CreateTempSubdirectory("flint-frames-");
        using CancellationTokenSource limit = new(Limit);
        ISandbox sandbox = await StartAsync(runtime, code.FullName, limit.Token);
        try
        {
            await PrepareAsync(sandbox, vector, runtime, code.FullName, limit.Token);
            await sandbox.Channel.WriteAsync(Convert.FromHexString(vector.Hex), limit.Token);
            if (vector.Answer is not null)
            {
                byte[] answer = new byte[vector.Answer.Length / 2];
                await sandbox.Channel.ReadExactlyAsync(answer, limit.Token);
                Convert.ToHexStringLower(answer).ShouldBe(vector.Answer);
            }
            else
            {
                ((System.Net.Sockets.NetworkStream)sandbox.Channel).Socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
                (await sandbox.Exited.WaitAsync(limit.Token)).ExitCode.ShouldBe(vector.Exit);
            }
        }
        finally
        {
            await sandbox.DestroyAsync();
            code.Delete(recursive: true);
        }
    }

    private static async Task<ISandbox> StartAsync(string runtime, string code, CancellationToken cancellationToken)
    {
        bool python = runtime.StartsWith("python", StringComparison.Ordinal);
        await File.WriteAllTextAsync(
            Path.Combine(code, python ? "main.py" : "main.js"),
            python ? "def handler(event, context):\n    return event\n" : "exports.handler = async (event) => event;\n", cancellationToken);
        return await ProcessGuests.Host.Create(
            new SandboxSpec
            {
                TenantId = "default",
                Runtime = runtime,
                CodeDirectory = code,
                MemoryMb = 256,
                TmpMb = 64,
                Environment = new Dictionary<string, string>(),
            },
            cancellationToken);
    }

    private static async Task PrepareAsync(ISandbox sandbox, ToGuestVector vector, string runtime, string code, CancellationToken cancellationToken)
    {
        if (vector.State == "loaded")
        {
            GuestInit init = new()
            {
                Handler = "main.handler",
                FunctionName = "f",
                FunctionVersion = "1",
                InvokedFunctionArn = "a",
                MemoryMb = 256,
                TaskRoot = code,
            };
            (await new GuestConnection(sandbox, new GuestLimits()).InitAsync(init, new InvocationLog(1000, TimeProvider.System), cancellationToken)).ShouldBeNull();
            return;
        }
        byte[] header = new byte[8];
        await sandbox.Channel.ReadExactlyAsync(header, cancellationToken);
        header[1].ShouldBe((byte)0x81, runtime);
        await sandbox.Channel.ReadExactlyAsync(new byte[BitConverter.ToInt32(header, 4)], cancellationToken);
    }

    private static TheoryData<string, string> AllVectors()
    {
        TheoryData<string, string> data = [];
        foreach (ToGuestVector vector in FrameVectors.Load().ToGuest)
        {
            foreach (string runtime in ProcessGuests.Runtimes)
            {
                data.Add(vector.Name, runtime);
            }
        }
        return data;
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Flint.Engines.Native;

namespace Flint.Security.Tests.Harness;

/// <summary>
/// The small internet of native/tests/internet.py: namespaces in which one plays the host of a launcher and one everything outside. And a DNS server on
/// loopback, where the worker is, whose names mean addresses in there.
/// </summary>
internal sealed class Internet : IAsyncDisposable
{
    /// <summary>On port 53, where resolvers are asked; an address of loopback that nobody uses.</summary>
    public const string Resolver = "127.77.0.53";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private static readonly Dictionary<string, IPAddress> Names = new(StringComparer.Ordinal)
    {
        ["public.test"] = IPAddress.Parse("8.8.8.8"),
        ["public6.test"] = IPAddress.Parse("2600:99::1"),
        ["private.test"] = IPAddress.Parse("10.9.9.9"),
        ["metadata.test"] = IPAddress.Parse("169.254.169.254"),
        ["host.test"] = IPAddress.Parse("45.10.0.2"),
        ["loopback.test"] = IPAddress.Loopback,
    };

    private readonly Process _process;
    private readonly string _folder;
    private readonly Socket _dns;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _answers;

    private Internet(Process process)
    {
        _process = process;
        _folder = Directory.CreateTempSubdirectory("flint-internet-").FullName;
        _dns = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        _dns.Bind(new IPEndPoint(IPAddress.Parse(Resolver), 53));
        _answers = AnswerAsync();
    }

    public static async Task<Internet> StartAsync()
    {
        foreach (var program in (string[])["pasta", "nft", "ip", "unshare", "nsenter"])
        {
            Requirements.Require(
                ((string[])["/usr/bin", "/usr/sbin", "/bin", "/sbin"]).Any(folder => File.Exists(Path.Combine(folder, program))), $"{program} is not installed");
        }

        var start = new ProcessStartInfo("unshare", ["-m", "-n", "--propagation", "private", "/usr/bin/python3", Requirements.InTree("native/tests/internet.py")])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        var process = Process.Start(start)!;
        (await process.StandardOutput.ReadLineAsync().WaitAsync(Limit)).ShouldBe("ready");
        return new Internet(process);
    }

    /// <summary>Lets a launcher have this internet's host for its own.</summary>
    public void Place(NativeEngineOptions options, string launcher)
    {
        var path = Path.Combine(_folder, Path.GetFileName(launcher));
        File.WriteAllText(path, $"#!/bin/sh\nexec nsenter --net=/proc/{_process.Id}/ns/net {launcher} \"$@\"\n");
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
        options.LauncherPath = path;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _dns.Dispose();
        await _answers;
        _process.StandardInput.Close();
        await _process.WaitForExitAsync().WaitAsync(Limit);
        _process.Dispose();
        _stopping.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task AnswerAsync()
    {
        var buffer = new byte[4096];
        try
        {
            while (true)
            {
                var received = await _dns.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stopping.Token);
                await _dns.SendToAsync(Answer(buffer.AsSpan(0, received.ReceivedBytes)), received.RemoteEndPoint, _stopping.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException or SocketException)
        {
        }
    }

    private static byte[] Answer(ReadOnlySpan<byte> question)
    {
        var labels = new List<string>();
        var at = 12;
        while (question[at] != 0)
        {
            labels.Add(Encoding.ASCII.GetString(question.Slice(at + 1, question[at])));
            at += question[at] + 1;
        }

        var end = at + 5;
        var known = Names.GetValueOrDefault(string.Join('.', labels));
        var bytes = known?.GetAddressBytes() ?? [];
        var matches = known is not null && question[at + 2] == (bytes.Length == 4 ? 1 : 28);
        byte[] record = matches ? [0xc0, 12, 0, question[at + 2], 0, 1, 0, 0, 0, 60, 0, (byte)bytes.Length, .. bytes] : [];
        return [.. question[..2], 0x81, (byte)(known is null ? 0x83 : 0x80), 0, 1, 0, (byte)(matches ? 1 : 0), 0, 0, 0, 0, .. question[12..end], .. record];
    }
}

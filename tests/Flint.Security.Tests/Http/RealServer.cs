using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;
using Flint.Server.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Flint.Security.Tests.Http;

/// <summary>The whole server on a free port, with the native engine; shared by the tests of group 13.</summary>
public sealed class RealServer : IAsyncLifetime
{
    private string _data = "";
    private WebApplication? _app;

    public HttpClient Client { get; } = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false });

    public int Port => Client.BaseAddress!.Port;

    public async ValueTask InitializeAsync()
    {
        Requirements.Root();
        _data = Directory.CreateTempSubdirectory("flint-security-http-").FullName;
        File.SetUnixFileMode(_data, (UnixFileMode)0b111_101_101);
        // Uids beyond those of the workers of this test run.
        _app = ServerHost.Build(
            ["--urls", "http://127.0.0.1:0", "--Flint:DataPath", _data, "--Flint:Sandbox:Native:UidBase", "2000900000", "--Flint:Sandbox:Native:UidCount", "1000",
                "--Flint:Sandbox:Native:ReadySandboxes", "0", "--Flint:Sandbox:MemoryFloorMb", "0"],
            static builder => builder.Logging.SetMinimumLevel(LogLevel.Error));
        await ServerHost.StartAsync(_app, CancellationToken.None);
        Client.BaseAddress = new Uri(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        foreach (var language in (Languages[])[Languages.Python, Languages.Node])
        {
            foreach (var name in (string[])["echo", "victim", "make"])
            {
                await DeployAsync($"{language}-{name}", language, name);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (_app is not null)
        {
            await _app.StopAsync();
            await _app.DisposeAsync();
            Directory.Delete(_data, recursive: true);
        }
    }

    internal async Task<(HttpStatusCode Status, string Body)> InvokeAsync(string function, byte[] body, string accept = "application/json")
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/functions/{function}/invoke");
        request.Content = new ByteArrayContent(body);
        request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json");
        request.Headers.TryAddWithoutValidation("Accept", accept);
        using var answer = await Client.SendAsync(request);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>How often a function has run, by the server's own record.</summary>
    internal async Task<int> RunsAsync(string function)
    {
        var page = await Client.GetStringAsync($"/api/invocations?function={function}&limit=100");
        return JsonDocument.Parse(page).RootElement.GetProperty("items").GetArrayLength();
    }

    /// <summary>Sends bytes as they are and gives all that comes back until the server closes, or is silent for a moment.</summary>
    internal async Task<string> SendRawAsync(string bytes, bool half = false)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, Port);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.Latin1.GetBytes(bytes));
        if (half)
        {
            client.Client.Shutdown(SocketShutdown.Send);
        }

        var received = new StringBuilder();
        var buffer = new byte[65536];
        using var patience = new CancellationTokenSource();
        try
        {
            while (true)
            {
                patience.CancelAfter(TimeSpan.FromMilliseconds(received.Length == 0 ? 5000 : 250));
                var count = await stream.ReadAsync(buffer, patience.Token);
                if (count == 0)
                {
                    break;
                }

                received.Append(Encoding.Latin1.GetString(buffer, 0, count));
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            // Silence, or a reset: what came is all.
        }

        return received.ToString();
    }

    private async Task DeployAsync(string name, Languages language, string what)
    {
        var code = (language, what) switch
        {
            (Languages.Python, "echo") => "def handler(event, context):\n    return event",
            (Languages.Python, "victim") => "def handler(event, context):\n    return 'victim'",
            (Languages.Python, _) => await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "programs/python/make_json.py")),
            (_, "echo") => "exports.handler = async (event) => event;",
            (_, "victim") => "exports.handler = async () => 'victim';",
            _ => await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "programs/node/make_json.js")),
        };
        var runtime = language == Languages.Python ? "python3.11" : "nodejs20";
        var body = JsonSerializer.Serialize(new { name, runtime, handler = "main.handler", code = new { inline = code }, timeoutMs = 20_000, memoryMb = 512 });
        using var answer = await Client.PostAsync("/api/functions", new StringContent(body, Encoding.UTF8, "application/json"));
        answer.StatusCode.ShouldBe(HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
    }
}

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Flint.Runtime.Sandboxing;
using Flint.Server.Hosting;
using Flint.TestKit.Engines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace Flint.Server.Tests;

/// <summary>The real server on a free port, with a real SQLite file in a directory of its own and a scripted engine.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly bool _ownsData;

    private TestServer(WebApplication app, FakeEngine engine, string dataPath, bool ownsData)
    {
        App = app;
        Engine = engine;
        DataPath = dataPath;
        _ownsData = ownsData;
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = Address };
    }

    public WebApplication App { get; }
    public FakeEngine Engine { get; }
    public string DataPath { get; }
    public Uri Address { get; }
    public HttpClient Http { get; }

    public static async Task<TestServer> StartAsync(
        FakeEngine? engine = null, string? dataPath = null, Action<IServiceCollection>? services = null, TimeProvider? time = null, params string[] args)
    {
        var path = dataPath ?? Directory.CreateTempSubdirectory("flint-server-").FullName;
        engine ??= new FakeEngine();
        var app = ServerHost.Build(["--urls", "http://127.0.0.1:0", "--Flint:DataPath", path, .. args], builder =>
        {
            builder.Logging.SetMinimumLevel(LogLevel.Error);
            builder.Services.RemoveAll<ISandboxEngine>();
            builder.Services.AddSingleton<ISandboxEngine>(engine);
            if (time is not null)
            {
                builder.Services.AddSingleton(time);
            }

            services?.Invoke(builder.Services);
        });
        await ServerHost.StartAsync(app, CancellationToken.None);
        return new TestServer(app, engine, path, dataPath is null);
    }

    public T Get<T>() where T : notnull => App.Services.GetRequiredService<T>();

    public Task<HttpResponseMessage> GetAsync(string path) => Http.GetAsync(path);

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string? json = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path);
        if (json is not null)
        {
            request.Content = new StringContent(json, Encoding.UTF8, "application/json");
        }

        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return Http.SendAsync(request);
    }

    public Task<HttpResponseMessage> PostAsync(string path, string json) => SendAsync(HttpMethod.Post, path, json);

    public Task<HttpResponseMessage> PutZipAsync(string path, byte[] zip)
    {
        var content = new ByteArrayContent(zip);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        return Http.PutAsync(path, content);
    }

    /// <summary>Deploys a function; <paramref name="more"/> is more members, such as <c>,"memoryMb":256</c>.</summary>
    public async Task<JsonElement> DeployAsync(string name, string more = "", string code = "def handler(event, context): return event")
    {
        var body = $$"""{"name":"{{name}}","runtime":"python3.11","handler":"main.handler","code":{"inline":{{JsonSerializer.Serialize(code)}}}{{more}}}""";
        using var answer = await PostAsync("/api/functions", body);
        return await answer.ReadAsync(HttpStatusCode.Created);
    }

    public async Task<JsonElement> InvokeAsync(string name, string payload = "{}", string query = "")
    {
        using var answer = await PostAsync($"/api/functions/{name}/invoke{query}", payload);
        return await answer.ReadAsync(HttpStatusCode.OK);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
        if (_ownsData)
        {
            Directory.Delete(DataPath, recursive: true);
        }
    }
}

internal static class Answers
{
    /// <summary>The answer's JSON, once its status is as expected; the message shows the body when it is not.</summary>
    public static async Task<JsonElement> ReadAsync(this HttpResponseMessage answer, HttpStatusCode expected = HttpStatusCode.OK)
    {
        var body = await answer.Content.ReadAsStringAsync();
        answer.StatusCode.ShouldBe(expected, body);
        return JsonDocument.Parse(body).RootElement;
    }

    /// <summary>The problem details, checked to be whole and of this status and code.</summary>
    public static async Task<JsonElement> ShouldBeProblemAsync(this HttpResponseMessage answer, int status, string code, string? field = null)
    {
        var body = await answer.Content.ReadAsStringAsync();
        ((int)answer.StatusCode).ShouldBe(status, body);
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json", body);
        var problem = JsonDocument.Parse(body).RootElement;
        problem.Text("code").ShouldBe(code, body);
        problem.GetProperty("status").GetInt32().ShouldBe(status);
        problem.Text("type").ShouldEndWith(code);
        problem.Text("title").ShouldNotBeNullOrWhiteSpace();
        problem.Text("detail").ShouldNotBeNullOrWhiteSpace();
        if (field is not null)
        {
            problem.Text("field").ShouldBe(field, body);
        }

        return problem;
    }

    public static string? Text(this JsonElement json, string name) => json.TryGetProperty(name, out var value) ? value.GetString() : null;

    public static bool Has(this JsonElement json, string name) => json.TryGetProperty(name, out _);
}

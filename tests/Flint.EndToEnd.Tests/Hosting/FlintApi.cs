using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>An HTTP answer, read.</summary>
internal sealed record ApiAnswer(HttpStatusCode Status, JsonNode? Body, string Text)
{
    public JsonNode Json => Body ?? throw new InvalidOperationException($"{(int)Status}, not JSON: {Text}");
}

/// <summary>The API as a client sees it: JSON, not the server's types, so that a renamed member is noticed.</summary>
internal sealed class FlintApi(Uri address) : IDisposable
{
    public HttpClient Http { get; } = new() { BaseAddress = address, Timeout = TimeSpan.FromMinutes(2) };

    public async Task<JsonNode> CreateAsync(object function)
    {
        var answer = await SendAsync(HttpMethod.Post, "/api/functions", JsonOf(function));
        answer.Status.ShouldBe(HttpStatusCode.Created, answer.Text);
        return answer.Json;
    }

    public async Task<JsonNode> InvokeAsync(string function, string payload = "{}", string query = "")
    {
        var answer = await SendAsync(HttpMethod.Post, $"/api/functions/{function}/invoke{query}", payload);
        answer.Status.ShouldBe(HttpStatusCode.OK, answer.Text);
        return answer.Json;
    }

    public Task<ApiAnswer> GetAsync(string path) => SendAsync(HttpMethod.Get, path, body: null);

    public async Task<ApiAnswer> SendAsync(HttpMethod method, string path, string? body) =>
        await SendAsync(method, path, body is null ? null : new StringContent(body, Encoding.UTF8, "application/json"));

    public async Task<ApiAnswer> SendAsync(HttpMethod method, string path, HttpContent? content)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var answer = await Http.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        var isJson = answer.Content.Headers.ContentType?.MediaType?.EndsWith("json", StringComparison.Ordinal) == true;
        return new ApiAnswer(answer.StatusCode, isJson ? JsonNode.Parse(text) : null, text);
    }

    public static string JsonOf(object value) => System.Text.Json.JsonSerializer.Serialize(value);

    public void Dispose() => Http.Dispose();
}

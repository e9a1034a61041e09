namespace Flint.Bench.Peers;

/// <summary>Whole bodies in and out; a peer does no more than that.</summary>
internal static class Bodies
{
    private const int MaxBytes = 6 * 1024 * 1024;

    public static async Task<byte[]> ReadAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        if (request.ContentLength is not (>= 0 and <= MaxBytes))
        {
            throw new BadHttpRequestException("a body with a length is needed");
        }
        byte[] body = new byte[(int)request.ContentLength];
        await request.Body.ReadExactlyAsync(body, cancellationToken);
        return body;
    }

    public static async Task AnswerAsync(HttpResponse response, byte[] body, CancellationToken cancellationToken)
    {
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body, cancellationToken);
    }
}

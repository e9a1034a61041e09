using Flint.Server.Api;
using Flint.Server.Hosting;
using Flint.Server.Services;

namespace Flint.Server.Security;

/// <summary>The one middleware around every request: protection before, problem details after, whatever went wrong.</summary>
internal sealed partial class RequestPipeline(RequestDelegate next, RequestProtection protection, ILogger<RequestPipeline> log)
{
    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            if (protection.Check(http.Request) is { } refused)
            {
                // What follows on a connection that began so is nothing to rely on.
                http.Response.Headers.Connection = "close";
                await ProblemMapping.WriteAsync(http, ProblemMapping.From(refused)).ConfigureAwait(false);
                return;
            }

            if (http.GetEndpoint()?.Metadata.GetMetadata<RunsOnSocketThread>() is null)
            {
                await SocketThreads.Leave();
            }

            await next(http).ConfigureAwait(false);
            if (http.Response is { StatusCode: >= 400, HasStarted: false, ContentType: null })
            {
                await ProblemMapping.WriteAsync(http, ProblemMapping.FromStatus(http.Response.StatusCode)).ConfigureAwait(false);
            }
        }
        catch (RefusedException refused)
        {
            await AnswerAsync(http, ProblemMapping.From(refused)).ConfigureAwait(false);
        }
        catch (BadHttpRequestException bad)
        {
            await AnswerAsync(http, ProblemMapping.FromStatus(bad.StatusCode, bad.Message)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client went away; there is nobody to answer.
        }
        catch (IOException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The same, noticed while writing.
        }
        catch (Exception exception)
        {
            var correlationId = Guid.NewGuid().ToString("n");
            LogUnhandled(exception, http.Request.Method, http.GetEndpoint()?.DisplayName ?? "(no route)", correlationId);
            await AnswerAsync(http, ProblemMapping.From(exception) with { CorrelationId = correlationId }).ConfigureAwait(false);
        }
    }

    private static async Task AnswerAsync(HttpContext http, Contracts.Errors.Problem problem)
    {
        if (http.Response.HasStarted)
        {
            // Half an answer is out: only an aborted connection tells the client that it is not whole.
            http.Abort();
            return;
        }

        http.Response.Clear();
        await ProblemMapping.WriteAsync(http, problem).ConfigureAwait(false);
    }

    [LoggerMessage(2001, LogLevel.Error, "Request {Method} {Route} failed unexpectedly; correlation id {CorrelationId}")]
    private partial void LogUnhandled(Exception exception, string method, string route, string correlationId);
}

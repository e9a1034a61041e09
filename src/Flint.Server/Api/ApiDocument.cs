using Microsoft.OpenApi;

namespace Flint.Server.Api;

/// <summary>The OpenAPI document: the same bytes on every machine, so that the one that is checked in can be compared.</summary>
internal static class ApiDocument
{
    public static void AddApiDocument(this IServiceCollection services) => services.AddOpenApi("v1", options =>
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "Flint",
                Version = "v1",
                Description = "Deploy Python and JavaScript functions, run them in isolated sandboxes, read their history. Refused requests answer problem details (RFC 9457).",
            };
            document.Servers = [];
            return Task.CompletedTask;
        });
    });
}

using System.Runtime.CompilerServices;

namespace Flint.Server.Tests.Hosting;

/// <summary>Documents that are made from the code. FLINT_UPDATE_DOCS=1 writes them instead of comparing.</summary>
public sealed class DocumentTests
{
    [Fact]
    public async Task The_openapi_document_is_the_one_that_is_checked_in()
    {
        await using var server = await TestServer.StartAsync();
        var document = await (await server.GetAsync("/openapi/v1.json")).Content.ReadAsStringAsync();
        Compare("docs/api/openapi.json", document.ReplaceLineEndings("\n").TrimEnd() + "\n");
    }

    [Fact]
    public void The_configuration_page_is_the_one_that_is_checked_in() => Compare("docs/configuration.md", ConfigurationPage.Write());

    private static void Compare(string path, string actual, [CallerFilePath] string self = "")
    {
        var full = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(self)!, "../../..", path));
        if (Environment.GetEnvironmentVariable("FLINT_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(full, actual);
        }

        File.ReadAllText(full).ShouldBe(actual, $"{path} is out of date: run these tests with FLINT_UPDATE_DOCS=1 and commit it.");
    }
}

using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

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

    [Fact]
    public void Every_setting_that_a_document_or_a_message_names_exists()
    {
        var known = ConfigurationPage.Keys().ToHashSet(StringComparer.Ordinal);
        var root = Root();
        var texts = new[] { "*.md", "*.cs", "*.c", "*.sh" }
            .SelectMany(pattern => new[] { "docs", "src", "native", "guest", "examples", "eng", "deploy" }
                .Select(folder => Path.Combine(root, folder)).Where(Directory.Exists)
                .SelectMany(folder => Directory.EnumerateFiles(folder, pattern, SearchOption.AllDirectories)))
            .Concat(Directory.EnumerateFiles(root, "*.md"));
        var unknown = texts
            .Where(path => !path.Contains("node_modules", StringComparison.Ordinal))
            .SelectMany(path => Setting.Matches(File.ReadAllText(path)).Select(match => (path, match.Value)))
            .Where(named => !known.Contains(named.Value) && !known.Any(key => key.StartsWith(named.Value + ":", StringComparison.Ordinal)))
            .Select(named => $"{Path.GetRelativePath(root, named.path)}: {named.Value}");
        unknown.ShouldBeEmpty();
    }

    private static readonly Regex Setting = new(@"\bFlint(:[A-Z][A-Za-z]+)+", RegexOptions.Compiled);

    private static string Root([CallerFilePath] string self = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(self)!, "../../.."));

    private static void Compare(string path, string actual)
    {
        var full = Path.Combine(Root(), path);
        if (Environment.GetEnvironmentVariable("FLINT_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(full, actual);
        }

        File.ReadAllText(full).ShouldBe(actual, $"{path} is out of date: run these tests with FLINT_UPDATE_DOCS=1 and commit it.");
    }
}

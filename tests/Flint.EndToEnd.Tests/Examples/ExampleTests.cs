using System.Buffers.Binary;
using System.Text.Json.Nodes;
using Flint.EndToEnd.Tests.Documents;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Examples;

/// <summary>Builds, deploys and runs every example, with each of its events.</summary>
public sealed class ExampleTests(Release release, RunningServer running) : IClassFixture<RunningServer>
{
    [Theory]
    [InlineData("csv-report")]
    [InlineData("webhook")]
    [InlineData("json-api")]
    [InlineData("thumbnail")]
    public async Task An_example_answers_its_events_as_written(string name)
    {
        await DeployAsync(name);
        var events = Directory.GetFiles(Path.Combine(release.Repository, "examples", name, "events"), "*.expected.json");
        events.ShouldNotBeEmpty();

        foreach (var expectedFile in events)
        {
            var payload = await File.ReadAllTextAsync(expectedFile.Replace(".expected.json", ".json"));
            var expected = JsonNode.Parse(await File.ReadAllTextAsync(expectedFile))!.AsObject();
            expected.TryAdd("status", "COMPLETED");

            var record = await running.Server.Api.InvokeAsync(name, payload);

            Expected.Match(expected, record).ShouldBeEmpty($"{Path.GetFileName(expectedFile)}: {record.ToJsonString()}");
        }
    }

    [Fact]
    public async Task Every_example_is_tested()
    {
        var examples = Directory.GetDirectories(Path.Combine(release.Repository, "examples")).Select(Path.GetFileName);
        examples.ShouldBe(["csv-report", "json-api", "thumbnail", "webhook"], ignoreOrder: true);
        await Task.CompletedTask;
    }

    [Fact]
    public async Task A_thumbnail_is_a_png_of_the_size_that_was_asked_for()
    {
        await DeployAsync("thumbnail");
        var payload = await File.ReadAllTextAsync(Path.Combine(release.Repository, "examples/thumbnail/events/gradient.json"));

        var result = (await running.Server.Api.InvokeAsync("thumbnail", payload))["result"]!;

        var image = Convert.FromBase64String(result["image"]!.GetValue<string>());
        image[..8].ShouldBe([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]);
        BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(16)).ShouldBe(16u);
        BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(20)).ShouldBe(8u);
    }

    [Fact]
    public async Task A_second_deployment_updates_the_code()
    {
        await DeployAsync("webhook");
        await DeployAsync("webhook");

        (await running.Server.Api.GetAsync("/api/functions?search=webhook")).Json["items"]!.AsArray().Count.ShouldBe(1);
    }

    private async Task DeployAsync(string name)
    {
        var deploy = await Shell.RunAsync(
            $"examples/deploy.sh {name} {running.Server.Address.ToString().TrimEnd('/')}", release.Repository, TimeSpan.FromMinutes(3));
        Needs.Network(deploy, $"{name} fetches its libraries");
        deploy.ExitCode.ShouldBe(0, deploy.Output);
    }
}

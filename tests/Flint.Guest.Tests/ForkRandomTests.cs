using System.Text.Json;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>Children of one zygote must share no random sequence, or one function's keys could be foretold by another.</summary>
public sealed class ForkRandomTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    private const int Children = 200;

    private const string Node = """
        const crypto = require('crypto');
        const vm = require('vm');
        exports.handler = async () => ({
          mathRandom: Math.random(),
          mathRandomOfAnotherContext: vm.runInNewContext('Math.random()'),
          randomUUID: crypto.randomUUID(),
          globalRandomUUID: globalThis.crypto.randomUUID(),
          randomBytes: crypto.randomBytes(16).toString('hex'),
          randomBytesOfThePool: (await require('util').promisify(crypto.randomBytes)(16)).toString('hex'),
          randomInt: crypto.randomInt(2 ** 47),
          getRandomValues: globalThis.crypto.getRandomValues(new Uint32Array(4)).join(),
          temporaryDirectory: require('path').basename(require('fs').mkdtempSync('/tmp/random-')),
        });
        """;

    private const string Python = """
        import os, random, secrets, ssl, string, tempfile, uuid
        def handler(event, context):
            return {
                "random": random.random(), "SystemRandom": random.SystemRandom().random(), "getrandbits": random.getrandbits(64),
                "newRandom": random.Random().random(), "shuffled": "".join(random.sample(string.ascii_letters * 2, 40)),
                "secrets": secrets.token_hex(16), "urandom": os.urandom(16).hex(), "ssl": ssl.RAND_bytes(16).hex(),
                "uuid1": str(uuid.uuid1()), "uuid4": str(uuid.uuid4()), "temporaryName": next(tempfile._get_candidate_names()),
            }
        """;

    private const string Numpy = """
        import sys
        sys.path.append("/usr/lib/python3/dist-packages")
        import numpy
        def handler(event, context):
            return {"random": numpy.random.random(), "generator": numpy.random.default_rng().random()}
        """;

    [Theory]
    [InlineData("nodejs20", Node)]
    [InlineData("python3.11", Python)]
    [InlineData("python3.11", Numpy)]
    public async Task No_two_children_draw_the_same_number(string runtime, string code)
    {
        ZygoteGuests zygote = zygotes.Of(runtime);
        Assert.SkipWhen(
            code == Numpy && !Directory.Exists("/usr/lib/python3/dist-packages/numpy") && Environment.GetEnvironmentVariable("CI") is null,
            "python3-numpy is not installed");
        using TestFunction function = new(runtime, code);
        Dictionary<string, HashSet<string>> seen = [];
        for (int child = 0; child < Children; child++)
        {
            TestAnswer answer = await function.InvokeAsync(zygote);
            using JsonDocument drawn = JsonDocument.Parse(answer.Result ?? throw new InvalidOperationException($"{answer.Error} {answer.Exit}"));
            foreach (JsonProperty one in drawn.RootElement.EnumerateObject())
            {
                if (!seen.TryGetValue(one.Name, out HashSet<string>? values))
                {
                    seen[one.Name] = values = [];
                }
                values.Add(one.Value.GetRawText()).ShouldBeTrue($"child {child} has drawn the {one.Name} of an earlier one");
            }
        }
        seen.Count.ShouldBeGreaterThan(1);
    }

    [Fact]
    public async Task Workers_of_one_child_draw_numbers_of_their_own()
    {
        using TestFunction function = new("nodejs20", """
            const { Worker } = require('worker_threads');
            const draw = () => new Promise((resolve, reject) => new Worker("require('worker_threads').parentPort.postMessage(Math.random())", { eval: true })
              .on('message', resolve).on('error', reject));
            exports.handler = async () => new Set([Math.random(), await draw(), await draw(), await draw()]).size;
            """);
        (await function.InvokeAsync(zygotes.Of("nodejs20"))).Result.ShouldBe("4");
    }
}

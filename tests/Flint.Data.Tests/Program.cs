using Flint.Data.Tests.Sqlite;
using Xunit.MicrosoftTestingPlatform;
using Xunit.Runner.InProc.SystemConsole;

namespace Flint.Data.Tests;

internal static class Program
{
    private static Task<int> Main(string[] args) => args switch
    {
        [KilledWriter.Switch, var dataPath] => KilledWriter.RunAsync(dataPath),
        [Measurement.Switch, ..] => Measurement.RunAsync(args[1..]),
        _ when args.Contains("--server") || args.Contains("--internal-msbuild-node") =>
            TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions),
        _ => ConsoleRunner.Run(args),
    };
}

using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

/// <summary>Engines over fake-launcher.py, whose behaviour tests switch by words.</summary>
public sealed class FakeLauncherHost : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("flint-test-");

    public FakeLauncherHost()
    {
        File.Copy(Path.Combine(AppContext.BaseDirectory, "Native/fake-launcher.py"), Launcher, overwrite: true);
        File.SetUnixFileMode(Launcher, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        File.WriteAllText(Library, "");
        File.WriteAllText(Path.Combine(_folder.CreateSubdirectory("guest").FullName, "runtimes.json"), """
            [{"prefix":"python","arguments":["{interpreter}"],"environment":{"LANG":"C"},"heapPercent":0,"heapReserveMb":0,
              "zygote":{"arguments":["{interpreter}","zygote.py"],"execVariables":["LANG","LD_*"]}}]
            """);
    }

    /// <summary>The engines' clock.</summary>
    internal TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How often a launcher has been started.</summary>
    public long Starts => new FileInfo(Path.Combine(_folder.FullName, "starts")).Length;

    /// <summary>What zygotes are preloaded with.</summary>
    public string Library => Path.Combine(_folder.CreateSubdirectory("guest/native").FullName, "libflint-zygote.so");

    private string Launcher => Path.Combine(_folder.FullName, "launcher.py");

    public void Dispose() => _folder.Delete(recursive: true);

    /// <summary>From the next start of a launcher on.</summary>
    public void Behave(string behaviour) => File.WriteAllText(Path.Combine(_folder.FullName, "behaviour"), behaviour);

    public SandboxSpec Spec(int memoryMb = 128) => new()
    {
        TenantId = "default",
        Runtime = "python3.11",
        CodeDirectory = Path.Combine(_folder.FullName, "abc"),
        MemoryMb = memoryMb,
        TmpMb = 64,
        Environment = new Dictionary<string, string> { ["A"] = "1" },
    };

    public ISandboxEngine NewEngine(string behaviour, params string[] allowUnenforced) =>
        NewEngine(behaviour, new NativeEngineOptions { ReadySandboxes = 1 }, allowUnenforced);

    internal NativeEngine NewEngine(string behaviour, NativeEngineOptions options, params string[] allowUnenforced)
    {
        Behave(behaviour);
        options.LauncherPath = Launcher;
        options.GuestPath = Path.Combine(_folder.FullName, "guest");
        options.Interpreters["python3.11"] = "/usr/bin/python3.11";
        return new NativeEngine(
            new NativeEngineSettings(options, _folder.FullName, allowUnenforced), NullLoggerFactory.Instance, Time);
    }

    public Task<ISandboxEngine> StartAsync(string behaviour, params string[] allowUnenforced) =>
        StartAsync(NewEngine(behaviour, allowUnenforced));

    internal static async Task<ISandboxEngine> StartAsync(ISandboxEngine engine)
    {
        try
        {
            await engine.StartAsync(CancellationToken.None);
            return engine;
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    public static async Task<ISandbox> EventuallyAsync(Func<Task<ISandbox>> create)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (true)
        {
            try
            {
                return await create();
            }
            catch (EngineException) when (!limit.IsCancellationRequested)
            {
                await Task.Yield();
            }
        }
    }
}

using System.Text.Json;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>
/// A zygote of this host's interpreter, as a plain process with the real bootstrap and native module, that forks guests as plain processes: all of a fork but
/// its cell. It needs <c>make -C native zygote-tests</c>. Thread-safe.
/// </summary>
public sealed class ZygoteGuests : IDisposable
{
    private readonly Lock _lock = new();
    private readonly JsonDocument _manifest = ProcessGuests.Manifest();
    private readonly JsonElement _language;
    private readonly int _pid;
    private readonly int _socket;

    public ZygoteGuests(string runtime)
    {
        _language = ProcessGuests.Language(_manifest, runtime);
        JsonElement zygote = _language.GetProperty("zygote");
        string[] arguments = [.. zygote.GetProperty("arguments").EnumerateArray().Select(argument => argument.GetString()!
            .Replace("{interpreter}", ProcessGuests.Interpreter(runtime), StringComparison.Ordinal)
            .Replace("/var/runtime", GuestCases.GuestDirectory, StringComparison.Ordinal))];
        TestLibc.AdoptOrphans();
        (_socket, int zygoteSocket) = TestLibc.SocketPair(packets: true);
        string[] environment = [.. _language.GetProperty("environment").EnumerateObject().Select(variable => $"{variable.Name}={variable.Value.GetString()}"), $"LD_PRELOAD={Library}"];
        _pid = TestLibc.Spawn(arguments, environment, stdout: 2, stderr: 2, zygoteSocket);
        TestLibc.Close(zygoteSocket);
    }

    /// <summary>Cases run in a fork; those whose environment asks for a start of their own run as <see cref="ProcessGuests"/> does.</summary>
    public GuestHost Host => new((spec, _) => Task.FromResult<ISandbox>(NeedsExec(spec) ? ProcessGuests.Start(spec) : Fork(spec)), static code => code);

    private static string Library { get; } = Path.GetFullPath(Path.Combine(GuestCases.GuestDirectory, "..", "native", "build", "libflint-zygote-stand-in.so"));

    /// <summary>Null when zygotes can run here, else what is missing.</summary>
    public static string? Missing(string runtime) =>
        ProcessGuests.Missing(runtime) ?? (File.Exists(Library) ? null : $"{Library} is not built: make -C native zygote-tests");

    public ProcessSandbox Fork(SandboxSpec spec)
    {
        Dictionary<string, string> environment = ProcessGuests.Environment(_language, spec);
        // What the zygote booted with; an engine's code lies at /var/task for both.
        environment["LD_LIBRARY_PATH"] = _language.GetProperty("environment").GetProperty("LD_LIBRARY_PATH").GetString()!;
        lock (_lock)
        {
            return ProcessSandbox.Fork(_socket, environment, spec.Snapshot);
        }
    }

    public void Dispose()
    {
        TestLibc.Close(_socket);
        TestLibc.KillGroup(_pid);
        _ = TestLibc.Wait(_pid);
        _manifest.Dispose();
    }

    private bool NeedsExec(SandboxSpec spec) =>
        _language.GetProperty("zygote").GetProperty("execVariables").EnumerateArray().Select(pattern => pattern.GetString()!)
            .Any(pattern => spec.Environment.Keys.Any(name =>
                pattern.EndsWith('*') ? name.StartsWith(pattern[..^1], StringComparison.Ordinal) : name == pattern));
}

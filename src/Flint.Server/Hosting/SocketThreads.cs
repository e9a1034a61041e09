using System.Globalization;
using System.Runtime.CompilerServices;

namespace Flint.Server.Hosting;

/// <summary>
/// Lets the threads that wait for sockets run what waits for the bytes, instead of handing it to the thread pool: an invocation on a warm sandbox then
/// wakes one thread of the server for the request and one for the guest's answer, and no other (docs/decisions/0008-the-warm-path.md).
/// </summary>
/// <remarks>
/// In exchange nothing on such a thread may block or compute for long. Only the invoke route runs there; it bounds what it does in one go, and every
/// other route moves to the thread pool first (<see cref="Security.RequestPipeline"/>, <see cref="Api.RequestBody"/>).
/// </remarks>
internal static class SocketThreads
{
    /// <summary>Read once by .NET, before its first socket; there is no other switch. An operator who sets it to 0 gets .NET's own way.</summary>
    public const string Variable = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>How many such threads there are; read like <see cref="Variable"/>. .NET's own number with inline completions is that of the processors.</summary>
    public const string CountVariable = "DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT";

    /// <summary>The server's process calls this before it does anything else. Tests, which share their process with clients, do not.</summary>
    public static void Enable()
    {
        if (Environment.GetEnvironmentVariable(Variable) is null)
        {
            Environment.SetEnvironmentVariable(Variable, "1");
        }

        if (AreInline && Environment.GetEnvironmentVariable(CountVariable) is null)
        {
            // Half of a call's work is done by the threads that wait for guests' answers, of which there are as many. With more of both than processors they only
            // take these from each other and from the guests, and each finds fewer requests whenever it wakes.
            Environment.SetEnvironmentVariable(CountVariable, Math.Max(1, Environment.ProcessorCount / 2).ToString(CultureInfo.InvariantCulture));
        }
    }

    public static bool AreInline => Environment.GetEnvironmentVariable(Variable) == "1";

    /// <summary>Awaiting it goes on in the thread pool, where blocking and long work is allowed.</summary>
    public static ConfiguredTaskAwaitable Leave() => Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
}

/// <summary>Marks the one route that may run on a socket's thread: it never blocks, and leaves when there is much to do.</summary>
internal sealed class RunsOnSocketThread;

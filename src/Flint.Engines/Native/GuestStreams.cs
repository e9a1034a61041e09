using System.Net.Sockets;

namespace Flint.Engines.Native;

/// <summary>What joins the worker and one guest: the channel and the raw output's pipes. Owns all three descriptors.</summary>
internal sealed class GuestStreams(Socket channel, int stdout, int stderr, RawOutputPump pump) : IDisposable
{
    public Stream Channel { get; } = new NetworkStream(channel, ownsSocket: true);

    public RawOutput Output { get; } = new(pump, stdout, stderr);

    public void Dispose()
    {
        Channel.Dispose();
        Output.Dispose();
    }
}

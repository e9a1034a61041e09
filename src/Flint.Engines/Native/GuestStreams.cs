using System.Net.Sockets;

namespace Flint.Engines.Native;

/// <summary>What joins the worker and one guest: the channel and the raw output's pipes. Owns all three descriptors.</summary>
internal sealed class GuestStreams : IDisposable
{
    /// <summary>Takes all three, also when it throws <see cref="IOException"/> since the output cannot be watched.</summary>
    public GuestStreams(Socket channel, int stdout, int stderr, RawOutputPump pump)
    {
        Channel = new NetworkStream(channel, ownsSocket: true);
        try
        {
            Output = new RawOutput(pump, stdout, stderr);
        }
        catch (IOException)
        {
            Channel.Dispose();
            throw;
        }
    }

    public Stream Channel { get; }

    public RawOutput Output { get; }

    public void Dispose()
    {
        Channel.Dispose();
        Output.Dispose();
    }
}

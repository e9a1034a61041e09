namespace Flint.Engines.Native;

/// <summary>What joins the worker and one guest: the channel and the raw output's pipes. Owns all three descriptors.</summary>
internal sealed class GuestStreams : IDisposable
{
    private readonly GuestChannel _channel;

    /// <summary>Takes all three, also when it throws <see cref="IOException"/> since one cannot be watched.</summary>
    public GuestStreams(int channel, int stdout, int stderr, GuestPollers pollers)
    {
        try
        {
            _channel = new GuestChannel(pollers, channel);
        }
        catch (IOException)
        {
            Libc.Close(stdout);
            Libc.Close(stderr);
            throw;
        }

        try
        {
            Output = new RawOutput(pollers, stdout, stderr);
        }
        catch (IOException)
        {
            _channel.Dispose();
            throw;
        }
    }

    public Stream Channel => _channel;

    public RawOutput Output { get; }

    /// <summary>For a guest that is about to be killed: its end wakes nobody, unless somebody still waits for its words.</summary>
    public void Mute()
    {
        _channel.Mute();
        Output.Mute();
    }

    public void Dispose()
    {
        _channel.Dispose();
        Output.Dispose();
    }
}

using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>The DNS servers to ask: the configured ones, or the host's, read again as its file changes. Thread-safe.</summary>
internal sealed class DnsResolvers
{
    private const int Port = 53;
    private const int MostUsed = 3; // as libc does
    private static readonly TimeSpan ReadAgainAfter = TimeSpan.FromSeconds(5);
    private readonly string _path;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly bool _fixed;
    private IReadOnlyList<IPEndPoint> _known = [];
    private long? _readAt;

    /// <param name="configured">Addresses; empty means those of <paramref name="path"/>.</param>
    /// <param name="path">A file as resolv.conf(5) describes it.</param>
    /// <param name="time">For how long a reading counts.</param>
    public DnsResolvers(IReadOnlyList<IPEndPoint> configured, string path, TimeProvider time)
    {
        _fixed = configured.Count > 0;
        _known = configured;
        _path = path;
        _time = time;
    }

    public static DnsResolvers From(EgressOptions options, TimeProvider time) =>
        new([.. options.Resolvers.Select(static resolver => new IPEndPoint(IPAddress.Parse(resolver), Port))], "/etc/resolv.conf", time);

    /// <summary>In the order in which they are asked; empty when there are none.</summary>
    public IReadOnlyList<IPEndPoint> Current
    {
        get
        {
            lock (_lock)
            {
                if (!_fixed && (_readAt is not { } at || _time.GetElapsedTime(at) >= ReadAgainAfter))
                {
                    _known = Read();
                    _readAt = _time.GetTimestamp();
                }

                return _known;
            }
        }
    }

    private IReadOnlyList<IPEndPoint> Read()
    {
        try
        {
            return [.. File.ReadLines(_path)
                .Select(static line => line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries))
                .Where(static words => words is ["nameserver", _, ..])
                .Select(static words => IPAddress.TryParse(words[1], out var address) ? new IPEndPoint(address, Port) : null)
                .OfType<IPEndPoint>()
                .Take(MostUsed)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return _known; // being written anew: the ones before still count
        }
    }
}

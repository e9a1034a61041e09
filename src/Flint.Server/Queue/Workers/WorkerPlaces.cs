namespace Flint.Server.Queue.Workers;

/// <summary>How many items may run now. The host is looked at when somebody asks, and not again for a second; an idle worker looks at nothing.</summary>
internal sealed class WorkerPlaces(WorkerSettings settings, Func<HostReading> read, TimeProvider time)
{
    public static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly PlacesPolicy _policy = new(settings.Places, Math.Min(settings.Places, settings.LeastPlaces));
    private readonly Lock _lock = new();
    private long _readAt = time.GetTimestamp() - (long)(Fresh.TotalSeconds * time.TimestampFrequency);

    public int Now()
    {
        lock (_lock)
        {
            var since = time.GetElapsedTime(_readAt);
            if (since < Fresh)
            {
                return _policy.Places;
            }

            _readAt = time.GetTimestamp();
            return _policy.Next(read(), since);
        }
    }

    /// <summary>Places were taken away and may come back: somebody should look again.</summary>
    public bool IsShrunk
    {
        get
        {
            lock (_lock)
            {
                return _policy.IsShrunk;
            }
        }
    }
}

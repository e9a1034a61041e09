namespace Flint.Data.Invocations;

/// <summary>How the journal buffers; see the settings of the same names in <see cref="Hosting.DatabaseOptions"/>.</summary>
public sealed record JournalOptions
{
    /// <summary>The longest that a row waits before its batch is written.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Rows buffered, those being written included, before callers wait.</summary>
    public int MaxRows { get; init; } = 20_000;

    /// <summary>Bytes buffered, those being written included, before callers wait. One row alone may be larger.</summary>
    public long MaxBytes { get; init; } = 64L << 20;

    /// <summary>Bytes that callers without room may hold before new invocations should be refused: half as much again as the buffer.</summary>
    public long MaxRoomWaiterBytes => MaxBytes / 2;

    /// <summary>Callers without room before new invocations should be refused: one for each 64 KB of the buffer, at least 16.</summary>
    public int MaxRoomWaiters => (int)Math.Clamp(MaxBytes >> 16, 16, 100_000);

    /// <summary>Rows written at once; that many do not wait for the window's end.</summary>
    public int BatchRows { get; init; } = 1000;

    /// <summary>Bytes written at once, as <see cref="BatchRows"/>.</summary>
    public long BatchBytes { get; init; } = 8L << 20;

    /// <summary>How long disposal keeps trying while the store fails.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(10);
}

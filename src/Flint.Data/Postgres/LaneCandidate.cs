using Flint.Data.Queue;

namespace Flint.Data.Postgres;

/// <summary>A lane with work, as a walk found it; and then what is taken of it.</summary>
internal sealed class LaneCandidate
{
    // When its rate allows one more than what is asked, in microseconds from now; none has none.
    private long _due;

    public required string Tenant { get; init; }
    public required string Lane { get; init; }
    /// <summary>Of its tenant in the walk, from 1.</summary>
    public required int Turn { get; init; }
    /// <summary>Of the lane in its tenant's walk, from 1.</summary>
    public required int Step { get; init; }
    /// <summary>Open lanes of its tenant up to this one.</summary>
    public required int Found { get; init; }
    /// <summary>Open, and among the first that the places are for.</summary>
    public required bool Chosen { get; init; }
    /// <summary>Not paused, nor at a limit.</summary>
    public required bool Open { get; init; }
    /// <summary>It has a row: it may have limits, and is claimed from under that row's lock alone.</summary>
    public required bool HasRow { get; init; }
    public required bool Locked { get; init; }
    /// <summary>Until its rate allows a start; null when it has no rate, or is closed for another reason.</summary>
    public required TimeSpan? Wait { get; init; }
    public required LaneRate? Rate { get; init; }
    /// <summary>How far <c>rate_next</c> is ahead of now, in microseconds.</summary>
    public required long Ahead { get; init; }

    public bool Claimable => Chosen && (!HasRow || Locked);

    /// <summary>What is asked of it: its share, or what its rate allows.</summary>
    public int Ask { get; private set; }

    public int Taken { get; private set; }

    /// <summary>It gave all that was asked, which was its share: it may have more.</summary>
    public bool MayHaveMore => Taken == Ask && _due <= 0;

    /// <summary>Until its rate allows another start than those taken; null when something else ended them.</summary>
    public TimeSpan? WaitAfter => _due > 0 && Taken == Ask ? TimeSpan.FromMicroseconds(_due) : null;

    public void Share(int places)
    {
        Ask = places;
        if (Rate is { } rate)
        {
            var next = Ahead;
            Ask = CellRate.Take(ref next, now: 0, rate, places, out _due);
        }
    }

    public void Take() => Taken++;
}

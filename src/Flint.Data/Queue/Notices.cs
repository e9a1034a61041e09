namespace Flint.Data.Queue;

/// <summary>What came since the last look.</summary>
/// <param name="Work">Something was added that is due now.</param>
/// <param name="Missed">Kinds of which notices were lost, or may have been: more came than were kept, or another server could not be heard. Look in the store.</param>
public sealed record Notices(bool Work, IReadOnlySet<string> Finished, IReadOnlySet<string> Cancelled, IReadOnlySet<string> Changed, NoticeKinds Missed);

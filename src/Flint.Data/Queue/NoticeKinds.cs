namespace Flint.Data.Queue;

/// <summary>What notices tell of.</summary>
[Flags]
public enum NoticeKinds
{
    None = 0,
    /// <summary>Something was added that is due now.</summary>
    Work = 1,
    /// <summary>Invocations were finished.</summary>
    Finished = 2,
    /// <summary>Invocations were cancelled; whoever runs them is to stop.</summary>
    Cancelled = 4,
    /// <summary>Invocations changed otherwise: they began, or are to be tried again.</summary>
    Changed = 8,
    All = Work | Finished | Cancelled | Changed,
}

using Flint.Data.Queue;
using Flint.Runtime.Invocation;

namespace Flint.Server.Queue.Workers;

/// <summary>Sends one request to a webhook. Like a run of a function: what the other side does wrong is an outcome, and so is what went wrong on the way.</summary>
/// <param name="item">Its payload is the body.</param>
/// <param name="delivery">Where to.</param>
/// <param name="aborting">It must end at once; what it answers then is told to nobody.</param>
internal delegate Task<InvocationOutcome> DeliverAsync(ClaimedItem item, DeliveryWork delivery, CancellationToken aborting);

/// <summary>Adds to a settlement what follows from the end: destinations and dead letters.</summary>
internal delegate Task<Settlement.Finished> FollowUp(Settlement.Finished finished, ClaimedItem item, QueuedWork work, CancellationToken aborting);

namespace Flint.Contracts.DeadLetters;

/// <summary>The dead-letter lists that have entries, by name.</summary>
public sealed record DeadLetterListsView(IReadOnlyList<DeadLetterListView> Items);

/// <param name="Name">As functions' settings name it.</param>
/// <param name="Count">Of its entries.</param>
/// <param name="OldestAt">When the entry was added that has been there longest.</param>
public sealed record DeadLetterListView(string Name, int Count, DateTimeOffset OldestAt);

/// <summary>An entry of a dead-letter list.</summary>
/// <param name="Id">Of the invocation; <c>GET /api/dead-letters/{list}/{id}</c> has its record.</param>
/// <param name="Function">The function that failed.</param>
/// <param name="ErrorType">Why, in Flint's words.</param>
/// <param name="AddedAt">When it ended.</param>
public sealed record DeadLetterView(string Id, string? Function, string? ErrorType, DateTimeOffset AddedAt);

/// <summary>What became of a part of a list that was redriven.</summary>
/// <param name="Redriven">Queued again under new ids, and not in the list any more.</param>
/// <param name="Skipped">Still in the list: their function is gone, or history did not keep their event.</param>
/// <param name="Remaining">Entries that were not come to yet.</param>
/// <param name="NextCursor">Passed as <c>cursor</c> it goes on behind what was dealt with; absent when nothing remains.</param>
public sealed record RedriveAnswer(int Redriven, int Skipped, int Remaining, string? NextCursor);

/// <param name="Deleted">Entries that were removed. Their records stay until retention removes them.</param>
public sealed record PurgeAnswer(int Deleted);

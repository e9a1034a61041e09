namespace Flint.Contracts;

/// <summary>One page of a list.</summary>
/// <param name="Items">In the list's order.</param>
/// <param name="NextCursor">Opaque; passed as <c>cursor</c> it gives the next page. Absent on the last one.</param>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextCursor);

namespace Flint.Data.Model;

/// <summary>An entry of a dead-letter list: it points to a finished record. Written by the queue's store, with the record's end; retention removes both together.</summary>
public sealed class DeadLetterEntity
{
    public required string TenantId { get; set; }
    public required string List { get; set; }
    /// <summary>The record's, whose order is that of creation.</summary>
    public Guid Id { get; set; }
    public string? FunctionName { get; set; }
    public string? ErrorType { get; set; }
    public DateTimeOffset AddedAt { get; set; }
}

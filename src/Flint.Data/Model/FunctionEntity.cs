namespace Flint.Data.Model;

/// <summary>The settings that a function has and a version freezes. Property meanings and ranges are the API's (docs/api).</summary>
public abstract class FunctionSettings
{
    public required string Runtime { get; set; }
    public required string Handler { get; set; }
    public string Description { get; set; } = "";
    public int MemoryMb { get; set; }
    public int TimeoutMs { get; set; }
    public int TmpMb { get; set; }
    /// <summary>JSON object of strings.</summary>
    public string EnvironmentJson { get; set; } = "{}";
    /// <summary><c>warm</c>, <c>fresh</c> or <c>snapshot</c>.</summary>
    public required string Freshness { get; set; }
    /// <summary><c>zygote</c> or <c>exec</c>.</summary>
    public required string Start { get; set; }
    /// <summary><c>none</c> or <c>egress</c>.</summary>
    public required string Network { get; set; }
    public required string Engine { get; set; }
    /// <summary><c>continue</c> (Lambda's way) or <c>cancel</c>.</summary>
    public required string OnDisconnect { get; set; }
    /// <summary><c>buffered</c> or <c>strict</c>.</summary>
    public required string History { get; set; }
    /// <summary>JSON: how asynchronous invocations are tried again and what follows from them. <c>{}</c> is the default. Holds secrets.</summary>
    public string AsyncJson { get; set; } = "{}";
    /// <summary>Lower-case hex SHA-256 of the zip; names a <see cref="CodeBlobEntity"/> of the same tenant.</summary>
    public required string CodeSha256 { get; set; }
    public long CodeSizeBytes { get; set; }
}

/// <summary>A function: its editable <c>$LATEST</c>. Unique by (tenant, name).</summary>
public sealed class FunctionEntity : FunctionSettings
{
    public required string TenantId { get; set; }
    /// <summary>UUID version 7; survives renames, never reused.</summary>
    public required string Id { get; set; }
    public required string Name { get; set; }
    /// <summary>UUID that changes on every write; the optimistic lock (412).</summary>
    public required string RevisionId { get; set; }
    /// <summary>The last published version's number; 0 when there is none. Numbers are never reused.</summary>
    public int LastVersion { get; set; }
    public DateTimeOffset CreatedAt { get; set; }
    public DateTimeOffset UpdatedAt { get; set; }
}

/// <summary>An immutable numbered snapshot of a function. Unique by (tenant, function, number).</summary>
public sealed class FunctionVersionEntity : FunctionSettings
{
    public required string TenantId { get; set; }
    public required string FunctionId { get; set; }
    public int Number { get; set; }
    public required string RevisionId { get; set; }
    public DateTimeOffset CreatedAt { get; set; }
}

/// <summary>A name for a version. Unique by (tenant, function, name).</summary>
public sealed class AliasEntity
{
    public required string TenantId { get; set; }
    public required string FunctionId { get; set; }
    public required string Name { get; set; }
    /// <summary>A version's number.</summary>
    public int VersionNumber { get; set; }
    public string Description { get; set; } = "";
    public required string RevisionId { get; set; }
    public DateTimeOffset CreatedAt { get; set; }
    public DateTimeOffset UpdatedAt { get; set; }
}

/// <summary>Code that is stored: once per tenant and content. The bytes are the blob store's.</summary>
public sealed class CodeBlobEntity
{
    public required string TenantId { get; set; }
    /// <summary>Lower-case hex SHA-256 of the zip.</summary>
    public required string Sha256 { get; set; }
    public long SizeBytes { get; set; }
    public DateTimeOffset CreatedAt { get; set; }
}

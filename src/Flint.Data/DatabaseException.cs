namespace Flint.Data;

/// <summary>The database cannot do its work: unreachable, full, damaged, unwritable, or of another version. The message names the remedy.</summary>
public class DatabaseException : Exception
{
    public DatabaseException(string message) : base(message)
    {
    }

    public DatabaseException(string message, Exception inner) : base(message, inner)
    {
    }
}

/// <summary>The schema is not one that this build can use: newer than it, or made by scripts that were changed since.</summary>
public sealed class SchemaException(string message) : DatabaseException(message);

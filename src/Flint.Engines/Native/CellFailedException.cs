namespace Flint.Engines.Native;

/// <summary>The cell that a request waited for could not be made.</summary>
internal sealed class CellFailedException(CellFailure failure) : Exception(failure.ToString())
{
    public CellFailure Failure { get; } = failure;
}

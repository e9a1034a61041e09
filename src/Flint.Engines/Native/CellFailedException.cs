namespace Flint.Engines.Native;

/// <summary>The cell that a request waited for could not be made.</summary>
/// <param name="failure">Why.</param>
/// <param name="zygote">The zygote that was to fork its guest; 0 when there was none.</param>
internal sealed class CellFailedException(CellFailure failure, uint zygote = 0) : Exception(failure.ToString())
{
    public CellFailure Failure { get; } = failure;

    public uint Zygote { get; } = zygote;
}

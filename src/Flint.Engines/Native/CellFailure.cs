namespace Flint.Engines.Native;

/// <summary>Why a cell could not be made, or its guest not be started.</summary>
/// <param name="Phase">The launcher's name of the step, such as <c>cgroup</c>.</param>
/// <param name="Message">The launcher's words.</param>
internal sealed record CellFailure(string Phase, string Message)
{
    public static CellFailure LauncherEnded { get; } = new("launcher", "it has ended; it is being restarted");

    public static CellFailure NoZygote { get; } = new("zygote", "it has just ended");

    /// <summary>The zygote was not there or could not fork; a cell without one may still be had.</summary>
    public bool OfZygote => Phase == "zygote";

    /// <summary>The process that was to be forked did not do its part, which is the function's fault.</summary>
    public bool IsTheTemplates => Phase == "template";

    public override string ToString() => $"The sandbox could not be made ({Phase}): {Message}";
}

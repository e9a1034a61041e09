using System.Globalization;

namespace Flint.Runtime.Invocation;

/// <summary>
/// The function-level environment of a sandbox: Lambda's variables, or a job's, and the user's. The engine lays its runtime's own beneath (PATH, LANG,
/// TZ ...), so the user's win over those. No credentials are among them.
/// </summary>
internal static class GuestEnvironment
{
    /// <param name="function">What will run.</param>
    /// <param name="invocationId">The invocation that the sandbox is made for.</param>
    /// <param name="now">For the log stream's name, in Lambda's form: <c>YYYY/MM/DD/[version]32 hex digits</c>, one per sandbox.</param>
    public static Dictionary<string, string> Build(FunctionSpec function, string invocationId, DateTimeOffset now) =>
        function.Call == GuestCall.Main ? BuildForJob(function, invocationId) : BuildForFunction(function, LogStream(function, now));

    /// <summary>A job is no Lambda function and has none of its variables: PATH, HOME and the like from the engine, its own, and these.</summary>
    private static Dictionary<string, string> BuildForJob(FunctionSpec function, string invocationId)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal) { ["TMPDIR"] = "/tmp" };
        foreach (var (name, value) in function.Environment)
        {
            environment[name] = value;
        }
        environment["FLINT_JOB_ID"] = invocationId;
        return environment;
    }

    private static Dictionary<string, string> BuildForFunction(FunctionSpec function, string logStream)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["AWS_REGION"] = FunctionArn.Region,
            ["AWS_DEFAULT_REGION"] = FunctionArn.Region,
            ["AWS_EXECUTION_ENV"] = ExecutionEnvironment(function.Runtime),
        };
        foreach (var (name, value) in function.Environment)
        {
            environment[name] = value;
        }
        // Reserved: what describes the sandbox is true, whatever the user wrote.
        environment["_HANDLER"] = function.Handler;
        environment["LAMBDA_TASK_ROOT"] = "/var/task";
        environment["AWS_LAMBDA_FUNCTION_NAME"] = function.Name;
        environment["AWS_LAMBDA_FUNCTION_VERSION"] = function.Version;
        environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = function.MemoryMb.ToString(CultureInfo.InvariantCulture);
        environment["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand";
        environment["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/" + function.Name;
        environment["AWS_LAMBDA_LOG_STREAM_NAME"] = logStream;
        return environment;
    }

    private static string LogStream(FunctionSpec function, DateTimeOffset now) =>
        string.Create(CultureInfo.InvariantCulture, $"{now.UtcDateTime:yyyy/MM/dd}/[{function.Version}]{Guid.NewGuid():N}");

    public static string Arn(FunctionSpec function)
    {
        var arn = FunctionArn.Of(function.TenantId, function.Name);
        return function.Version == "$LATEST" ? arn : $"{arn}:{function.Version}";
    }

    /// <summary>Lambda's runtime names: <c>AWS_Lambda_python3.11</c>, <c>AWS_Lambda_nodejs20.x</c>.</summary>
    private static string ExecutionEnvironment(string runtime) =>
        runtime.StartsWith("nodejs", StringComparison.Ordinal) ? $"AWS_Lambda_{runtime}.x" : $"AWS_Lambda_{runtime}";
}

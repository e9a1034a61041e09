namespace Flint.Runtime.Invocation;

/// <summary>A function's name in AWS Lambda's words.</summary>
public static class FunctionArn
{
    /// <summary>Flint has no regions; tools want one. The user may set another for calls to real services.</summary>
    public const string Region = "local";

    /// <summary>Without a version.</summary>
    public static string Of(string tenantId, string name) => $"arn:flint:lambda:{Region}:{tenantId}:function:{name}";
}

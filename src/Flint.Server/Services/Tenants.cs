namespace Flint.Server.Services;

/// <summary>The owner of everything, until there are several.</summary>
internal static class Tenants
{
    public const string Default = "default";
}

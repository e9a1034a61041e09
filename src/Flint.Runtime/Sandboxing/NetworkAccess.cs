namespace Flint.Runtime.Sandboxing;

/// <summary>What a sandbox can reach beside its own loopback.</summary>
public enum NetworkAccess
{
    /// <summary>Nothing.</summary>
    None,
    /// <summary>Public addresses, and names through Flint's resolver; never the worker, the control plane, private, link-local or metadata addresses
    /// unless the operator allows them.</summary>
    Egress,
}

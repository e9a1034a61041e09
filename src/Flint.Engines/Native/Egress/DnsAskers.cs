using System.Collections.Concurrent;
using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>Which function asks from which address. Thread-safe.</summary>
internal sealed class DnsAskers
{
    private readonly ConcurrentDictionary<IPAddress, string> _functions = new();

    public IReadOnlyDictionary<IPAddress, string> All => _functions;

    /// <summary>From before its guest runs anything of the function's until the sandbox is gone, after which the address may be another's.</summary>
    /// <param name="address">The sandbox's.</param>
    /// <param name="function">The same for all sandboxes of one function's code.</param>
    public void Add(IPAddress address, string function) => _functions[address] = function;

    public void Remove(IPAddress address) => _functions.TryRemove(address, out _);

    /// <summary>Who is not known stands for itself.</summary>
    public string Of(IPAddress address) => _functions.GetValueOrDefault(address) ?? address.ToString();
}

using System.Net;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Flint.Engines.Native.Egress;

namespace Flint.Engines.Tests.Native.Egress;

public sealed partial class AddressRangesTests
{
    private static readonly HashSet<IPAddress> Own = [IPAddress.Parse("10.1.2.3"), IPAddress.Parse("8.8.4.4"), IPAddress.Parse("2a00::5"), IPAddress.Loopback, IPAddress.IPv6Loopback];

    /// <summary>What the launcher tells the kernel for sandboxes counts for the server too.</summary>
    [Fact]
    public void The_ranges_are_those_of_the_launcher()
    {
        var source = File.ReadAllText(Path.Combine(Root(), "native/src/egress_rules.c"));
        AddressRanges.Never.Select(range => range.ToString()).ShouldBe([.. Listed(source, "never4"), .. Listed(source, "never6")]);
        AddressRanges.Special.Select(range => range.ToString()).ShouldBe([.. Listed(source, "special4"), .. Listed(source, "special6")]);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.8.8.8")]
    [InlineData("0.0.0.0")]
    [InlineData("10.0.0.1")]
    [InlineData("100.64.0.1")]
    [InlineData("169.254.169.254")]
    [InlineData("168.63.129.16")]
    [InlineData("172.31.255.255")]
    [InlineData("192.168.0.1")]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("::")]
    [InlineData("::1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::ffff:10.0.0.1")]
    [InlineData("::ffff:a9fe:a9fe")]
    [InlineData("::7f00:1")]
    [InlineData("64:ff9b::10.0.0.1")]
    [InlineData("2002:a00:1::1")]
    [InlineData("2001::1")]
    [InlineData("fe80::1%1")]
    [InlineData("fc00::1")]
    [InlineData("fd00:ec2::254")]
    [InlineData("ff02::1")]
    [InlineData("8.8.4.4")]
    [InlineData("::ffff:8.8.4.4")]
    [InlineData("2a00::5")]
    public void Special_addresses_and_this_machines_are_closed(string address) => Open(address).ShouldBeFalse();

    [Theory]
    [InlineData("8.8.8.8")]
    [InlineData("172.32.0.1")]
    [InlineData("::ffff:8.8.8.8")]
    [InlineData("2a00::6")]
    [InlineData("2606:4700::1111")]
    public void Public_addresses_are_open(string address) => Open(address).ShouldBeTrue();

    [Fact]
    public void What_is_listed_is_open_and_nothing_beside_it()
    {
        Open("10.1.2.4", "10.1.2.0/24").ShouldBeTrue();
        Open("::ffff:10.1.2.4", "10.1.2.0/24").ShouldBeTrue();
        Open("10.1.3.4", "10.1.2.0/24").ShouldBeFalse();
        Open("fd00::1", "fd00::/64").ShouldBeTrue();
        Open("169.254.169.254", "169.254.0.0/16").ShouldBeTrue();
    }

    [Fact]
    public void This_machine_is_opened_only_address_by_address()
    {
        Open("10.1.2.3", "10.0.0.0/8").ShouldBeFalse();
        Open("10.1.2.3", "10.1.2.3").ShouldBeTrue();
        Open("127.0.0.1", "127.0.0.0/8").ShouldBeFalse();
        Open("127.0.0.1", "127.0.0.1").ShouldBeTrue();
        Open("127.0.0.2", "127.0.0.1").ShouldBeFalse();
        Open("::1", "::1").ShouldBeTrue();
        Open("0.0.0.0", "0.0.0.0").ShouldBeFalse();
        Open("224.0.0.1", "0.0.0.0/0").ShouldBeFalse();
    }

    private static bool Open(string address, params string[] allowed) =>
        AddressRanges.IsOpen(IPAddress.Parse(address), Own, [.. allowed.Select(range => AddressRanges.Parse(range)!.Value)]);

    private static IEnumerable<string> Listed(string source, string name)
    {
        var list = Regex.Match(source, $@"static const char {name}\[\] =\s*((?:""[^""]*""\s*)+);").Groups[1].Value;
        list.ShouldNotBeEmpty(name);
        return string.Concat(Quoted().Matches(list).Select(match => match.Groups[1].Value)).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
    }

    private static string Root([CallerFilePath] string self = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(self)!, "../../../.."));

    [GeneratedRegex("\"([^\"]*)\"")]
    private static partial Regex Quoted();
}

using Flint.Engines.Native.Egress;

namespace Flint.Engines.Tests.Native.Egress;

public sealed class EgressOptionsTests
{
    [Fact]
    public void The_launcher_is_told_what_was_understood()
    {
        var options = new EgressOptions { Allow = ["10.1.2.0/24", "192.168.1.7", "FD00::0/8"], Deny = ["8.8.8.8"], MaxConnections = 9 };
        options.Validate().ShouldBeEmpty();
        options.LauncherArguments().ShouldBe(
            ["--egress", "on", "--egress-connections", "9", "--egress-allow", "10.1.2.0/24,192.168.1.7/32,fd00::/8", "--egress-deny", "8.8.8.8/32"]);
        new EgressOptions { Enabled = false, Allow = ["10.0.0.0/8"] }.LauncherArguments().ShouldBeEmpty();
    }

    [Theory]
    [InlineData("10.0.0.1/8")]
    [InlineData("10.0.0.0/33")]
    [InlineData("fd00::1/8")]
    [InlineData("fe80::1%eth0")]
    [InlineData("example.com")]
    [InlineData("10.0.0.0/8,192.168.0.0/16")]
    [InlineData("")]
    public void A_range_that_is_none_is_named(string range)
    {
        new EgressOptions { Allow = [range] }.Validate().ShouldHaveSingleItem().ShouldContain($"Flint:Sandbox:Egress:Allow has '{range}'");
        new EgressOptions { Deny = [range] }.Validate().ShouldHaveSingleItem().ShouldContain($"Flint:Sandbox:Egress:Deny has '{range}'");
    }

    [Fact]
    public void Other_problems_are_named_with_their_limits()
    {
        new EgressOptions { MaxConnections = 0, Resolvers = ["dns.example"] }.Validate()
            .ShouldBe(["Flint:Sandbox:Egress:Resolvers has 'dns.example'; it must be an IP address.", "Flint:Sandbox:Egress:MaxConnections is 0; it must be 1 to 65535."]);
    }
}

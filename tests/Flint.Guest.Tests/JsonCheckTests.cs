using System.Text;
using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

public sealed class JsonCheckTests
{
    [Theory]
    [InlineData("null")]
    [InlineData(" {\"a\": [1, -0, 1e400, 123456789012345678901234567890, \"\\ud800\", \"é\"]}\n")]
    [InlineData("{\"a\":1,\"a\":2}")]
    [InlineData("[[[[]]]]")]
    public void One_value_is_fine(string json) => JsonCheck.Fault(Encoding.UTF8.GetBytes(json), 4).ShouldBeNull();

    [Theory]
    [InlineData("", "JSON")]
    [InlineData(" ", "JSON")]
    [InlineData("1 1", "JSON")]
    [InlineData("{}x", "JSON")]
    [InlineData("[1,]", "JSON")]
    [InlineData("// c\n1", "JSON")]
    [InlineData("Infinity", "JSON")]
    [InlineData("01", "JSON")]
    [InlineData("\"\u0001\"", "JSON")]
    [InlineData("[[[[[]]]]]", "deeper")]
    public void Anything_else_is_told(string json, string why) =>
        JsonCheck.Fault(Encoding.UTF8.GetBytes(json), 4).ShouldNotBeNull().ShouldContain(why);

    [Theory]
    [InlineData(new byte[] { (byte)'"', 0xff, (byte)'"' })]
    [InlineData(new byte[] { (byte)'"', 0xed, 0xa0, 0x80, (byte)'"' })]
    [InlineData(new byte[] { (byte)'"', 0xc0, 0x80, (byte)'"' })]
    public void Strings_must_be_UTF8(byte[] json) => JsonCheck.Fault(json, 4).ShouldNotBeNull().ShouldContain("UTF-8");

    [Fact]
    public void A_depth_bomb_is_refused_at_its_limit() =>
        JsonCheck.Fault(Enumerable.Repeat((byte)'[', 5_000_000).ToArray(), 128).ShouldNotBeNull().ShouldContain("deeper than 128");
}

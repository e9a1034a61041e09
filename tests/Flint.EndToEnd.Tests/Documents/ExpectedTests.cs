namespace Flint.EndToEnd.Tests.Documents;

/// <summary>The comparison that the other tests rely on can fail.</summary>
public sealed class ExpectedTests
{
    [Theory]
    [InlineData("""{"a":1}""", """{"a":1,"b":2}""", true)]
    [InlineData("""{"a":1,"b":2}""", """{"a":1}""", false)]
    [InlineData("""{"a":1}""", """{"a":2}""", false)]
    [InlineData("""{"id":"x"}""", """{"id":"other"}""", true)]
    [InlineData("""{"id":"x"}""", """{}""", false)]
    [InlineData("""{"durationMs":1.5}""", """{"durationMs":900}""", true)]
    [InlineData("""{"durationMs":1.5}""", """{"durationMs":"long"}""", false)]
    [InlineData("""[1,2]""", """[1,2,3]""", false)]
    [InlineData("""{"text":"START …"}""", """{"text":"START RequestId: 1"}""", true)]
    [InlineData("""{"text":"START …"}""", """{"text":"END RequestId: 1"}""", false)]
    [InlineData("""{"a":1}""", "not json", false)]
    [InlineData("plain … text", "plain and simple text\n", true)]
    [InlineData("plain text", "plain text and more", false)]
    public void Only_what_is_shown_must_be_there(string expected, string actual, bool matches) =>
        (Expected.Match(expected, actual).Count == 0).ShouldBe(matches);
}

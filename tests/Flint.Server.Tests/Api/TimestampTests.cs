using System.Globalization;
using System.Text;
using System.Text.Json;
using Flint.Contracts;

namespace Flint.Server.Tests.Api;

public sealed class TimestampTests
{
    [Theory]
    [InlineData("0001-01-01T00:00:00.000+00:00")]
    [InlineData("2026-02-28T23:59:59.9999999+00:00")]
    [InlineData("2026-11-22T01:02:03.045+05:30")]
    [InlineData("9999-12-31T23:59:59.999+00:00")]
    public void A_time_is_written_in_its_one_form(string text)
    {
        var time = DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            Timestamp.Write(json, time);
        }

        Encoding.UTF8.GetString(bytes.ToArray()).ShouldBe($"\"{time.UtcDateTime.ToString(Timestamp.Format, CultureInfo.InvariantCulture)}\"");
    }
}

using System.Text.Json;

namespace Flint.Server.Api;

/// <summary>Reads a stored log: JSON lines of time, stream and text.</summary>
internal static class LogLines
{
    public static IEnumerable<(DateTimeOffset Time, string Stream, string Text)> Read(ReadOnlyMemory<byte> log)
    {
        while (!log.IsEmpty)
        {
            var end = log.Span.IndexOf((byte)'\n');
            var line = end < 0 ? log : log[..end];
            log = end < 0 ? ReadOnlyMemory<byte>.Empty : log[(end + 1)..];
            if (!line.IsEmpty)
            {
                yield return Parse(line.Span);
            }
        }
    }

    private static (DateTimeOffset Time, string Stream, string Text) Parse(ReadOnlySpan<byte> line)
    {
        var reader = new Utf8JsonReader(line);
        var (time, stream, text) = (DateTimeOffset.UnixEpoch, "", "");
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
            {
                continue;
            }

            var name = reader.GetString();
            reader.Read();
            switch (name)
            {
                case "t":
                    time = DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64());
                    break;
                case "s":
                    stream = reader.GetString()!;
                    break;
                case "m":
                    text = reader.GetString()!;
                    break;
            }
        }

        return (time, stream, text);
    }
}

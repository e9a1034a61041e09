using System.Text;
using Flint.Runtime.Guest;
using Flint.TestKit.Time;

namespace Flint.Guest.Tests;

public sealed class InvocationLogTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void Lines_keep_their_order_stream_and_time()
    {
        InvocationLog log = NewLog();
        log.AddPlatform("START");
        DateTimeOffset first = _time.GetUtcNow();
        _time.Advance(TimeSpan.FromSeconds(1));
        log.AddEvent(LogStream.Stdout, "out\n"u8);
        log.AddRaw(LogStream.Stderr, "raw\n"u8);
        log.AddPlatform("END");

        IReadOnlyList<LogLine> lines = log.Complete().Lines;

        lines.ShouldBe([
            new LogLine(first, LogStream.Platform, "START"), new LogLine(_time.GetUtcNow(), LogStream.Stdout, "out"),
            new LogLine(_time.GetUtcNow(), LogStream.Stderr, "raw"), new LogLine(_time.GetUtcNow(), LogStream.Platform, "END")]);
    }

    [Theory]
    [InlineData("a", new[] { "a" })]
    [InlineData("a\n", new[] { "a" })]
    [InlineData("", new[] { "" })]
    [InlineData("\n", new[] { "" })]
    [InlineData("a\nb", new[] { "a", "b" })]
    [InlineData("a\n\nb\n\n", new[] { "a", "", "b", "" })]
    [InlineData("a\r\nb\r\n", new[] { "a", "b" })]
    [InlineData("a\rb", new[] { "a\rb" })]
    [InlineData("nul\0 esc\u001b[1m bell\a tab\t del\u007f c1\u0085", new[] { "nul\u2400 esc\u241b[1m bell\u2407 tab\t del\u2421 c1\ufffd" })]
    [InlineData("snow \u2603 \ud83d\ude00", new[] { "snow \u2603 \ud83d\ude00" })]
    public void An_event_becomes_harmless_lines(string text, string[] expected)
    {
        InvocationLog log = NewLog();
        log.AddEvent(LogStream.Stdout, Encoding.UTF8.GetBytes(text));
        Texts(log).ShouldBe(expected);
    }

    [Fact]
    public void Invalid_UTF8_is_replaced()
    {
        InvocationLog log = NewLog();
        log.AddEvent(LogStream.Stdout, [(byte)'a', 0xff, (byte)'b', 0xe2, 0x82]);
        log.AddEvent(LogStream.Stdout, [0xed, 0xa0, 0x80]);
        Texts(log).ShouldBe(["a\ufffdb\ufffd", "\ufffd\ufffd\ufffd"]);
    }

    [Fact]
    public void Raw_bytes_are_cut_into_lines_wherever_they_are_split()
    {
        byte[] bytes = Encoding.UTF8.GetBytes("one\ntwo é\n\nlast");
        for (int chunk = 1; chunk < bytes.Length; chunk++)
        {
            InvocationLog log = NewLog();
            foreach (byte[] part in bytes.Chunk(chunk))
            {
                log.AddRaw(LogStream.Stdout, part);
            }
            Texts(log).ShouldBe(["one", "two é", "", "last"], $"chunks of {chunk}");
        }
    }

    [Fact]
    public void Raw_streams_do_not_mix()
    {
        InvocationLog log = NewLog();
        log.AddRaw(LogStream.Stdout, "out "u8);
        log.AddRaw(LogStream.Stderr, "err "u8);
        log.AddRaw(LogStream.Stdout, "line\n"u8);
        log.AddRaw(LogStream.Stderr, "line\n"u8);
        log.Complete().Lines.Select(line => $"{line.Stream}: {line.Text}").ShouldBe(["Stdout: out line", "Stderr: err line"]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(65536)]
    [InlineData(300_000)]
    public void A_raw_line_without_end_is_cut_between_characters(int chunk)
    {
        InvocationLog log = NewLog();
        byte[] bytes = Encoding.UTF8.GetBytes(new string('€', 60_000));
        foreach (byte[] part in bytes.Chunk(chunk))
        {
            log.AddRaw(LogStream.Stdout, part);
        }
        List<string> texts = Texts(log);
        texts.ShouldAllBe(text => text.All(c => c == '€') && Encoding.UTF8.GetByteCount(text) <= 65536);
        texts.Sum(text => text.Length).ShouldBe(60_000);
    }

    [Fact]
    public void Beyond_the_cap_lines_are_counted_and_a_mark_stands_where_they_began()
    {
        InvocationLog log = new(100, _time);
        log.AddPlatform("START");
        log.AddEvent(LogStream.Stdout, Encoding.UTF8.GetBytes(new string('a', 59)));
        log.AddEvent(LogStream.Stdout, Encoding.UTF8.GetBytes(new string('b', 50)));
        log.AddEvent(LogStream.Stdout, "c"u8);
        log.AddPlatform("END");

        CapturedLog captured = log.Complete();

        captured.Lines.Select(line => line.Text[..3]).ShouldBe(["STA", "aaa", "[lo", "END"]);
        captured.Lines[2].Stream.ShouldBe(LogStream.Platform);
        captured.Lines[2].Text.ShouldBe("[log truncated: 2 lines, 51 bytes dropped beyond the limit of 100 bytes]");
        (captured.DroppedLines, captured.DroppedBytes).ShouldBe((2, 51));
    }

    [Fact]
    public void A_listener_gets_each_line_once_as_it_is_taken_and_the_mark_last()
    {
        List<LogLine> heard = [];
        InvocationLog log = new(100, _time, heard.Add);
        log.AddPlatform("START");
        heard.Count.ShouldBe(1);
        log.AddEvent(LogStream.Stdout, "a\nb"u8);
        heard.Count.ShouldBe(3);
        log.AddRaw(LogStream.Stderr, "unfinished"u8);
        heard.Count.ShouldBe(3);
        log.AddPlatform("END");
        log.AddEvent(LogStream.Stdout, "dropped"u8);

        CapturedLog captured = log.Complete();
        log.Complete();

        heard.Select(line => line.Text[..1]).ShouldBe(["S", "a", "b", "u", "E", "["]);
        heard.SkipLast(1).ShouldBe(captured.Lines.Where(line => line.Text[0] != '['));
        captured.Lines.ShouldContain(heard[^1]);
    }

    [Fact]
    public void A_listener_that_throws_is_not_asked_again_and_the_log_goes_on()
    {
        int calls = 0;
        InvocationLog log = new(1000, _time, _ =>
        {
            calls++;
            throw new InvalidOperationException("a defect");
        });
        log.AddEvent(LogStream.Stdout, "a"u8);
        log.AddRaw(LogStream.Stdout, "b\n"u8);
        Texts(log).ShouldBe(["a", "b"]);
        calls.ShouldBe(1);
    }

    [Fact]
    public void A_log_that_fits_exactly_has_no_mark()
    {
        InvocationLog log = new(100, _time);
        log.AddEvent(LogStream.Stdout, Encoding.UTF8.GetBytes(new string('a', 99)));
        CapturedLog captured = log.Complete();
        captured.Lines.Count.ShouldBe(1);
        captured.DroppedLines.ShouldBe(0);
    }

    [Fact]
    public void Empty_lines_are_bounded_too()
    {
        InvocationLog log = NewLog();
        log.AddRaw(LogStream.Stdout, new string('\n', 1_000_000).Select(c => (byte)c).ToArray());
        CapturedLog captured = log.Complete();
        captured.Lines.Count.ShouldBe((1024 * 1024 / 32) + 1);
        captured.DroppedLines.ShouldBe(1_000_000 - (1024 * 1024 / 32));
    }

    [Fact]
    public void Nothing_is_accepted_after_the_end()
    {
        InvocationLog log = NewLog();
        log.AddEvent(LogStream.Stdout, "kept"u8);
        CapturedLog captured = log.Complete();
        log.AddEvent(LogStream.Stdout, "late"u8);
        log.AddRaw(LogStream.Stdout, "late\n"u8);
        log.AddPlatform("late");
        captured.Lines.Count.ShouldBe(1);
        log.Complete().Lines.Count.ShouldBe(1);
    }

    [Fact]
    public void Many_threads_may_add()
    {
        InvocationLog log = new(100_000_000, _time);
        Parallel.For(0, 8, i =>
        {
            for (int n = 0; n < 1000; n++)
            {
                log.AddEvent(LogStream.Stdout, "event"u8);
                log.AddRaw(i % 2 == 0 ? LogStream.Stdout : LogStream.Stderr, "raw\n"u8);
            }
        });
        CapturedLog captured = log.Complete();
        captured.Lines.Count.ShouldBe(16_000);
        captured.Lines.ShouldAllBe(line => line.Text == "event" || line.Text == "raw");
    }

    private InvocationLog NewLog() => new(1024 * 1024, _time);

    private static List<string> Texts(InvocationLog log) => [.. log.Complete().Lines.Select(line => line.Text)];
}

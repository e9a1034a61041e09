namespace Flint.Runtime.Guest;

/// <summary>
/// Collects what one invocation logs: lines in order, stamped with the server's clock, capped. Once the cap is reached every further guest line
/// is only counted, and a mark says how many. Thread-safe. See guest/PROTOCOL.md, "Log text".
/// </summary>
/// <param name="maxBytes">Cap on the guest's lines, in UTF-8 bytes; a line costs at least <see cref="LeastLineCost"/>.</param>
/// <param name="time">Stamps the lines.</param>
/// <param name="onLine">Gets each line that is taken; see <see cref="Invocation.InvocationRequest.OnLine"/>.</param>
public sealed class InvocationLog(int maxBytes, TimeProvider time, Action<LogLine>? onLine = null)
{
    /// <summary>What a line costs at least, so that a flood of empty lines is bounded too.</summary>
    private const int LeastLineCost = 32;

    private readonly Lock _lock = new();
    private readonly List<LogLine> _lines = [];
    /// <summary>Null once it has thrown, too.</summary>
    private Action<LogLine>? _onLine = onLine;
    private readonly RawLineCutter _stdout = new();
    private readonly RawLineCutter _stderr = new();
    private long _cost;
    private long _droppedLines;
    private long _droppedBytes;
    private int _markAt = -1;
    private DateTimeOffset _markTime;
    private bool _completed;

    /// <summary>A line of the platform's own (START, END, REPORT); never dropped. It ends raw lines that are unfinished, so that they stand before it.</summary>
    public void AddPlatform(string text)
    {
        lock (_lock)
        {
            if (!_completed)
            {
                FlushRaw(LogStream.Stdout, _stdout);
                FlushRaw(LogStream.Stderr, _stderr);
                Take(new LogLine(time.GetUtcNow(), LogStream.Platform, text));
            }
        }
    }

    /// <summary>One event of the guest's: one LOG frame. Line feeds within make several lines; one at the end makes none.</summary>
    public void AddEvent(LogStream stream, ReadOnlySpan<byte> utf8)
    {
        lock (_lock)
        {
            if (_completed)
            {
                return;
            }
            if (utf8.EndsWith("\n"u8))
            {
                utf8 = utf8[..^1];
            }
            for (int end = utf8.IndexOf((byte)'\n'); end >= 0; end = utf8.IndexOf((byte)'\n'))
            {
                AddLine(stream, utf8[..end]);
                utf8 = utf8[(end + 1)..];
            }
            AddLine(stream, utf8);
        }
    }

    /// <summary>Raw bytes of a standard stream; cut into lines. An unfinished line waits for its rest.</summary>
    public void AddRaw(LogStream stream, ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            if (_completed)
            {
                return;
            }
            RawLineCutter cutter = stream == LogStream.Stderr ? _stderr : _stdout;
            while (cutter.TryCut(ref bytes, out ReadOnlySpan<byte> line))
            {
                AddLine(stream, line);
            }
        }
    }

    /// <summary>The lines so far, unfinished raw ones excepted.</summary>
    public CapturedLog Snapshot()
    {
        lock (_lock)
        {
            return new CapturedLog([.. _lines], _droppedLines, _droppedBytes);
        }
    }

    /// <summary>Flushes unfinished raw lines and returns everything; nothing is accepted afterwards.</summary>
    public CapturedLog Complete()
    {
        lock (_lock)
        {
            if (!_completed)
            {
                FlushRaw(LogStream.Stdout, _stdout);
                FlushRaw(LogStream.Stderr, _stderr);
                _completed = true;
                if (_markAt >= 0)
                {
                    string mark = $"[log truncated: {_droppedLines} lines, {_droppedBytes} bytes dropped beyond the limit of {maxBytes} bytes]";
                    LogLine line = new(_markTime, LogStream.Platform, mark);
                    _lines.Insert(_markAt, line);
                    Tell(line);
                }
            }
            return new CapturedLog(_lines, _droppedLines, _droppedBytes);
        }
    }

    private void FlushRaw(LogStream stream, RawLineCutter cutter)
    {
        if (cutter.TryFlush(out ReadOnlySpan<byte> line))
        {
            AddLine(stream, line);
        }
    }

    private void AddLine(LogStream stream, ReadOnlySpan<byte> utf8)
    {
        int cost = Math.Max(utf8.Length + 1, LeastLineCost);
        if (_markAt < 0 && _cost + cost <= maxBytes)
        {
            _cost += cost;
            Take(new LogLine(time.GetUtcNow(), stream, GuestText.Line(utf8)));
            return;
        }
        if (_markAt < 0)
        {
            (_markAt, _markTime) = (_lines.Count, time.GetUtcNow());
        }
        _droppedLines++;
        _droppedBytes += utf8.Length;
    }

    private void Take(in LogLine line)
    {
        _lines.Add(line);
        if (_onLine is not null)
        {
            Tell(line);
        }
    }

    /// <summary>A listener that breaks its word must not end the invocation, nor the thread that many sandboxes wait for.</summary>
    private void Tell(in LogLine line)
    {
        try
        {
            _onLine?.Invoke(line);
        }
        catch (Exception)
        {
            _onLine = null;
        }
    }
}

using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Flint.Bench.Load;

/// <summary>
/// What is sent and what must come back. Every request carries another number, and the function's answer is computed from it, so that a
/// cached, repeated or mixed-up answer is seen. Numbers have a fixed width, so a request is made by overwriting digits.
/// </summary>
internal sealed class HttpWorkload
{
    /// <summary>The smallest number with twelve digits; seven times the largest is still exact in JavaScript.</summary>
    private const long FirstNumber = 100_000_000_000;
    private const int Digits = 12;
    private readonly byte[] _request;
    private readonly int _numberOffset;
    private readonly int _bodyOffset;
    private readonly byte[] _answerTail;
    private readonly bool _echo;

    private HttpWorkload(byte[] request, int bodyOffset, int numberOffset, int padLength, bool echo)
    {
        _request = request;
        _bodyOffset = bodyOffset;
        _numberOffset = numberOffset;
        _answerTail = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"/{padLength}\""));
        _echo = echo;
    }

    /// <param name="port">Of the server on 127.0.0.1.</param>
    /// <param name="path">Path and query.</param>
    /// <param name="eventBytes">Size of the body.</param>
    /// <param name="echo">The peer answers the body itself instead of what the function computes.</param>
    public static HttpWorkload Create(int port, string path, int eventBytes, bool echo = false)
    {
        const string Before = "{\"n\":";
        const string Between = ",\"pad\":\"";
        const string After = "\"}";
        int padLength = Math.Max(1, eventBytes - Before.Length - Digits - Between.Length - After.Length);
        string body = string.Create(CultureInfo.InvariantCulture, $"{Before}{FirstNumber}{Between}{new string('x', padLength)}{After}");
        string head = string.Create(CultureInfo.InvariantCulture,
            $"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n");
        return new HttpWorkload(Encoding.ASCII.GetBytes(head + body), head.Length, head.Length + Before.Length, padLength, echo);
    }

    public int RequestLength => _request.Length;

    public void WriteRequest(Span<byte> destination, long sequence)
    {
        _request.CopyTo(destination);
        Utf8Formatter.TryFormat(FirstNumber + sequence, destination[_numberOffset..], out _);
    }

    /// <summary>Whether <paramref name="body"/> holds exactly what this sequence number's request must bring.</summary>
    public bool IsAnswer(ReadOnlySpan<byte> body, long sequence)
    {
        Span<byte> number = stackalloc byte[20];
        if (_echo)
        {
            Utf8Formatter.TryFormat(FirstNumber + sequence, number, out int written);
            return body.Length == _request.Length - _bodyOffset && body[(_numberOffset - _bodyOffset)..].StartsWith(number[..written]);
        }
        Utf8Formatter.TryFormat((FirstNumber + sequence) * 7, number, out int digits);
        int at = body.IndexOf(number[..digits]);
        return at > 0 && body[at - 1] == (byte)'"' && body[(at + digits)..].StartsWith(_answerTail);
    }
}

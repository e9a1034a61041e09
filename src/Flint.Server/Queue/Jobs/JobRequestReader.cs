using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using Flint.Contracts.Jobs;
using Flint.Runtime.Hosting;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>
/// Reads submissions in one pass over the body's bytes, strictly: unknown and repeated members, broken JSON and values of a wrong type are refused by name. No tree is built; what is large stays where it is.
/// Thread-safe.
/// </summary>
internal sealed class JobRequestReader(JobOptions jobs, LimitOptions limits, PackagesOptions packages)
{
    /// <summary>Longer text in one of the short members is refused before anything is made of it.</summary>
    private const int MaxText = 32 * 1024;

    /// <summary>What is read must fit in whatever the rules take; they know better.</summary>
    private const int MaxItems = 1000;

    private static readonly byte[][] Names =
    [
        .. new[]
        {
            "code", "args", "timeout", "language", "priority", "delayMs", "tags", "idempotencyKey", "memoryMb", "cpus", "retries", "backoff", "ttlMs", "runAt", "concurrencyKey", "concurrencyLimit",
            "rateLimit", "handler", "network", "globals", "environment", "files", "zip",
        }.Select(System.Text.Encoding.ASCII.GetBytes),
    ];

    private static readonly string[] Shown = [.. Names.Select(System.Text.Encoding.ASCII.GetString)];

    /// <summary>One submission: the whole body.</summary>
    public JobRequest Read(ReadOnlyMemory<byte> body)
    {
        var request = new JobRequest();
        ReadInto(request, body);
        return request;
    }

    /// <summary>Replaces what the body gives. Its code replaces all code, its key all of the key's limits.</summary>
    public void ReadInto(JobRequest request, ReadOnlyMemory<byte> body)
    {
        var reader = Begin(body.Span, 1);
        var at = new Place();
        try
        {
            Next(ref reader);
            ReadJob(ref reader, body, request, ref at, "body");
            Next(ref reader);
        }
        catch (JsonException exception)
        {
            throw Broken(exception, in reader, at, 1);
        }
        catch (InvalidOperationException)
        {
            throw HalfPair(at);
        }
    }

    /// <summary>A bulk submission: an array. Refusals name the job, as in <c>jobs[3].timeout</c>.</summary>
    public List<JobRequest> ReadMany(ReadOnlyMemory<byte> body)
    {
        var reader = Begin(body.Span, 2);
        var requests = new List<JobRequest>();
        var at = new Place();
        try
        {
            Next(ref reader);
            if (reader.TokenType != JsonTokenType.StartArray)
            {
                throw new RefusedException("invalid_type", "The body must be a JSON array of jobs.", field: "body");
            }

            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (requests.Count == jobs.MaxBulk)
                {
                    throw new RefusedException("out_of_range", $"More than {jobs.MaxBulk} jobs are in the body.", field: "body", limit: $"{jobs.MaxBulk} jobs", knob: "Flint:Jobs:MaxBulk");
                }

                var request = new JobRequest();
                try
                {
                    ReadJob(ref reader, body, request, ref at, "");
                }
                catch (RefusedException refused)
                {
                    throw Within(refused, requests.Count);
                }

                requests.Add(request);
            }

            Next(ref reader);
        }
        catch (JsonException exception)
        {
            var broken = Broken(exception, in reader, at, 2);
            throw broken.Field == "body" ? broken : Within(broken, requests.Count);
        }
        catch (InvalidOperationException)
        {
            throw Within(HalfPair(at), requests.Count);
        }

        return requests.Count > 0 ? requests : throw new RefusedException("out_of_range", "There are no jobs in the body.", field: "body", limit: $"1 to {jobs.MaxBulk} jobs", knob: "Flint:Jobs:MaxBulk");
    }

    /// <summary>The refusal of one job of many.</summary>
    public static RefusedException Within(RefusedException refused, int index)
    {
        var job = string.Create(CultureInfo.InvariantCulture, $"jobs[{index}]");
        return new(refused.Code, refused.Message, refused.Entry, string.IsNullOrEmpty(refused.Field) ? job : $"{job}.{refused.Field}", refused.Limit, refused.Knob);
    }

    private Utf8JsonReader Begin(ReadOnlySpan<byte> body, int outer)
    {
        if (body.IsEmpty)
        {
            throw new RefusedException("invalid_json", "The request has no body.", field: "body");
        }

        // The JSON reader itself looks at no byte above 0x7f inside a string.
        return Utf8.IsValid(body)
            ? new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = limits.MaxJsonDepth + outer })
            : throw new RefusedException("invalid_json", "The body is not UTF-8.", field: "body");
    }

    private static void Next(ref Utf8JsonReader reader) => reader.Read();

    private RefusedException Broken(JsonException exception, in Utf8JsonReader reader, Place at, int outer)
    {
        var opened = reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject;
        if (reader.CurrentDepth + (opened ? 1 : 0) >= limits.MaxJsonDepth + outer && at.Member is { } member)
        {
            return new RefusedException("invalid_json", $"{member} is nested deeper than {limits.MaxJsonDepth} levels, or broken there.", field: member,
                limit: $"{limits.MaxJsonDepth} levels", knob: "Flint:Limits:MaxJsonDepth");
        }

        return new RefusedException("invalid_json", $"The body is not valid JSON at line {exception.LineNumber + 1}, byte {exception.BytePositionInLine + 1} of it.", field: "body");
    }

    private static RefusedException HalfPair(Place at) => new("invalid_json", "A string has half a surrogate pair.", field: at.Member ?? "body");

    private void ReadJob(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body, JobRequest request, ref Place at, string whole)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new RefusedException("invalid_type", "A job must be a JSON object.", field: whole);
        }

        var seen = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            at.Member = null;
            var index = Find(ref reader);
            at.Member = Shown[index];
            if ((seen & (1 << index)) != 0)
            {
                throw new RefusedException("duplicate_field", "A member is there twice.", field: at.Member);
            }

            seen |= 1 << index;
            reader.Read();
            ReadMember(ref reader, body, request, at.Member);
        }

        at.Member = null;
        Replace(request, seen);
    }

    /// <summary>What belongs together is replaced together.</summary>
    private static void Replace(JobRequest request, int seen)
    {
        if ((seen & (Bit("code") | Bit("files") | Bit("zip"))) != 0)
        {
            request.Code = (seen & Bit("code")) != 0 ? request.Code : null;
            request.Files = (seen & Bit("files")) != 0 ? request.Files : null;
            request.Zip = (seen & Bit("zip")) != 0 ? request.Zip : null;
        }

        if ((seen & Bit("concurrencyKey")) != 0)
        {
            request.ConcurrencyLimit = (seen & Bit("concurrencyLimit")) != 0 ? request.ConcurrencyLimit : null;
            request.RateLimit = (seen & Bit("rateLimit")) != 0 ? request.RateLimit : null;
        }
    }

    private static int Bit(string member) => 1 << Array.IndexOf(Shown, member);

    private static int Find(ref Utf8JsonReader reader)
    {
        for (var index = 0; index < Names.Length; index++)
        {
            if (reader.ValueTextEquals(Names[index]))
            {
                return index;
            }
        }

        throw Unknown(ref reader, "", Shown);
    }

    private static RefusedException Unknown(ref Utf8JsonReader reader, string path, IEnumerable<string> known) =>
        new("unknown_field", $"There is no such member; there are: {string.Join(", ", known)}.", field: path + JobValues.NameOf(ref reader));

    private void ReadMember(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body, JobRequest request, string member)
    {
        switch (member)
        {
            case "code":
                (request.Code, request.CodeJson) = ReadCode(ref reader, body);
                break;
            case "args":
                request.Args = ReadArgs(ref reader, body);
                break;
            case "timeout":
                request.TimeoutMs = JobValues.Int(ref reader, member);
                break;
            case "language":
                request.Language = JobValues.Text(ref reader, member, MaxText);
                break;
            case "priority":
                request.Priority = JobValues.Int(ref reader, member);
                break;
            case "delayMs":
                request.DelayMs = JobValues.Long(ref reader, member);
                break;
            case "tags":
                request.Tags = ReadTags(ref reader);
                break;
            case "idempotencyKey":
                request.IdempotencyKey = JobValues.Text(ref reader, member, MaxText);
                break;
            case "memoryMb":
                request.MemoryMb = JobValues.Int(ref reader, member);
                break;
            case "cpus":
                request.Cpus = JobValues.Number(ref reader, member);
                break;
            case "retries":
                request.Retries = JobValues.Int(ref reader, member);
                break;
            case "ttlMs":
                request.TtlMs = JobValues.Long(ref reader, member);
                break;
            case "runAt":
                request.RunAt = JobValues.Time(ref reader, member);
                break;
            case "concurrencyKey":
                request.ConcurrencyKey = JobValues.Text(ref reader, member, MaxText);
                break;
            case "concurrencyLimit":
                request.ConcurrencyLimit = JobValues.Int(ref reader, member);
                break;
            case "handler":
                request.Handler = JobValues.Text(ref reader, member, MaxText);
                break;
            case "network":
                request.Network = JobValues.Text(ref reader, member, MaxText);
                break;
            case "globals":
                request.Globals = JobValues.Text(ref reader, member, MaxText);
                break;
            case "backoff":
                request.Backoff = ReadBackoff(ref reader);
                break;
            case "rateLimit":
                request.RateLimit = ReadRate(ref reader);
                break;
            case "environment":
                request.Environment = ReadEnvironment(ref reader);
                break;
            case "files":
                request.Files = ReadFiles(ref reader, body);
                break;
            default:
                request.Zip = ReadZip(ref reader);
                break;
        }
    }

    private (ReadOnlyMemory<byte>? Code, ReadOnlyMemory<byte> Json) ReadCode(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return default;
        }

        var json = body.Slice((int)reader.TokenStartIndex, (int)(reader.BytesConsumed - reader.TokenStartIndex));
        return (JobValues.Bytes(ref reader, body, "code", jobs.MaxCodeBytes), json);
    }

    private ReadOnlyMemory<byte>? ReadArgs(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return null;
        }

        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw JobValues.WrongType("args", "a JSON array, whose elements are main's arguments");
        }

        var start = (int)reader.TokenStartIndex;
        reader.Skip();
        var length = (int)reader.BytesConsumed - start;
        return length <= limits.MaxPayloadBytes
            ? body.Slice(start, length)
            : throw new RefusedException("payload_too_large", string.Create(CultureInfo.InvariantCulture, $"args has {length} bytes; at most {limits.MaxPayloadBytes} are taken."), field: "args",
                limit: string.Create(CultureInfo.InvariantCulture, $"{limits.MaxPayloadBytes} bytes"), knob: "Flint:Limits:MaxPayloadBytes");
    }

    private byte[]? ReadZip(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return null;
        }

        if (reader.TokenType != JsonTokenType.String)
        {
            throw JobValues.WrongType("zip", "a zip in base64");
        }

        if (reader.ValueSpan.Length / 4L * 3 > jobs.MaxCodeBytes + 2L && !reader.ValueIsEscaped)
        {
            throw JobValues.TooMuchCode("zip", reader.ValueSpan.Length / 4L * 3, jobs.MaxCodeBytes);
        }

        return reader.TryGetBytesFromBase64(out var zip) ? zip : throw JobValues.WrongType("zip", "a zip in base64");
    }

    private List<KeyValuePair<string, ReadOnlyMemory<byte>>>? ReadFiles(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body)
    {
        if (!JobValues.Opens(ref reader, JsonTokenType.StartObject, "files", "an object of paths and texts"))
        {
            return null;
        }

        var files = new List<KeyValuePair<string, ReadOnlyMemory<byte>>>();
        var left = jobs.MaxCodeBytes;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (files.Count == jobs.MaxFiles)
            {
                throw new RefusedException("too_many_entries", $"A job has at most {jobs.MaxFiles} files.", field: "files", limit: $"{jobs.MaxFiles} files", knob: "Flint:Jobs:MaxFiles");
            }

            var path = JobPackages.CheckName(JobValues.Bytes(ref reader, body, "files", int.MaxValue).Span, packages);
            reader.Read();
            var text = JobValues.Bytes(ref reader, body, "files." + EntryNames.Escape(path), jobs.MaxCodeBytes);
            left -= text.Length;
            if (left < 0)
            {
                throw JobValues.TooMuchCode("files", jobs.MaxCodeBytes - (long)left, jobs.MaxCodeBytes);
            }

            files.Add(new(path, text));
        }

        return files;
    }

    private static List<string>? ReadTags(ref Utf8JsonReader reader)
    {
        if (!JobValues.Opens(ref reader, JsonTokenType.StartArray, "tags", "an array of texts"))
        {
            return null;
        }

        var tags = new List<string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (tags.Count > MaxItems)
            {
                throw new RefusedException("out_of_range", $"tags has more than {MaxItems} elements.", field: "tags", limit: $"{JobRules.MaxTags} tags");
            }

            tags.Add(JobValues.Text(ref reader, "tags", MaxText) ?? throw JobValues.WrongType("tags", "an array of texts"));
        }

        return tags;
    }

    private static Dictionary<string, string>? ReadEnvironment(ref Utf8JsonReader reader)
    {
        if (!JobValues.Opens(ref reader, JsonTokenType.StartObject, "environment", "an object of names and texts"))
        {
            return null;
        }

        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = JobValues.Text(ref reader, "environment", MaxText)!;
            var member = "environment." + EntryNames.Escape(name);
            reader.Read();
            var value = JobValues.Text(ref reader, member, MaxText) ?? throw JobValues.WrongType(member, "text");
            if (!variables.TryAdd(name, value))
            {
                throw new RefusedException("duplicate_field", "A member is there twice.", field: member);
            }
        }

        return variables;
    }

    private static BackoffSettings? ReadBackoff(ref Utf8JsonReader reader)
    {
        if (!JobValues.Opens(ref reader, JsonTokenType.StartObject, "backoff", "an object"))
        {
            return null;
        }

        var (backoff, seen) = (new BackoffSettings(), 0);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var index = JobValues.Member(ref reader, "backoff", ref seen, "type", "delayMs", "maxDelayMs", "jitter");
            reader.Read();
            backoff = index switch
            {
                0 => backoff with { Type = JobValues.Text(ref reader, "backoff.type", MaxText) },
                1 => backoff with { DelayMs = JobValues.Int(ref reader, "backoff.delayMs") },
                2 => backoff with { MaxDelayMs = JobValues.Int(ref reader, "backoff.maxDelayMs") },
                _ => backoff with { Jitter = JobValues.Flag(ref reader, "backoff.jitter") },
            };
        }

        return backoff;
    }

    private static RateLimitSettings? ReadRate(ref Utf8JsonReader reader)
    {
        if (!JobValues.Opens(ref reader, JsonTokenType.StartObject, "rateLimit", "an object"))
        {
            return null;
        }

        var (rate, seen) = (new RateLimitSettings(), 0);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var index = JobValues.Member(ref reader, "rateLimit", ref seen, "starts", "periodMs");
            reader.Read();
            rate = index == 0
                ? rate with { Starts = JobValues.Int(ref reader, "rateLimit.starts") ?? 0 }
                : rate with { PeriodMs = JobValues.Long(ref reader, "rateLimit.periodMs") ?? rate.PeriodMs };
        }

        return rate;
    }

    /// <summary>Which member is being read, for the message when the JSON breaks there.</summary>
    private struct Place
    {
        public string? Member { get; set; }
    }
}

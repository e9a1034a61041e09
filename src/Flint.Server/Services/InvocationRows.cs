using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Services;

/// <summary>Turns an outcome into the row that history keeps and answers are written from.</summary>
internal sealed class InvocationRows(JsonBuffers buffers, HistoryOptions history, EngineDirectory engines)
{
    /// <summary>Absent, which is not empty: a null array would become empty memory.</summary>
    private static ReadOnlyMemory<byte>? Nothing => null;

    /// <summary>Of a synchronous invocation.</summary>
    public InvocationRow Make(CatalogEntry entry, string id, string? qualifier, byte[] payload, DateTimeOffset createdAt, InvocationOutcome outcome) =>
        Make(
            new Subject(entry.Spec.TenantId, id, entry.Spec.FunctionId, entry.Spec.Name, entry.Spec.Version, qualifier, "sync", createdAt, entry.Spec),
            KeepsPayload(StatusName(outcome.Status), payload.Length) ? payload : Nothing,
            outcome);

    /// <summary>Of what was queued. The store has its payload already, and its identity: that of a job is not what the dispatcher saw.</summary>
    /// <param name="spec">What ran; null when it did not come so far, and for a delivery.</param>
    public InvocationRow Make(ClaimedItem item, FunctionSpec? spec, InvocationOutcome outcome) =>
        Make(
            new Subject(
                item.TenantId, item.Id, item.FunctionId, item.FunctionName, item.Mode is "job" or "delivery" || spec is null ? item.Version : spec.Version, item.Qualifier, item.Mode,
                item.CreatedAt, spec),
            Nothing,
            outcome);

    public bool KeepsPayload(string status, int size) =>
        size <= history.MaxPayloadBytes
        && (history.PayloadMode == PayloadMode.All || (history.PayloadMode == PayloadMode.Failed && status != "COMPLETED"));

    /// <summary>Whose record it is.</summary>
    private readonly record struct Subject(
        string TenantId, string Id, string FunctionId, string FunctionName, string Version, string? Qualifier, string Mode, DateTimeOffset CreatedAt, FunctionSpec? Spec);

    private InvocationRow Make(in Subject subject, ReadOnlyMemory<byte>? payload, InvocationOutcome outcome)
    {
        var reached = outcome.SandboxId is not null;
        return new InvocationRow
        {
            TenantId = subject.TenantId,
            Id = subject.Id,
            FunctionId = subject.FunctionId,
            FunctionName = subject.FunctionName,
            Version = subject.Version,
            Qualifier = subject.Qualifier,
            Mode = subject.Mode,
            Status = StatusName(outcome.Status),
            ErrorType = outcome.Error is { } error ? FaultName(error.Type) : null,
            ErrorJson = outcome.Error is null ? null : ErrorJson(outcome.Error),
            CreatedAt = Times.ToMilliseconds(subject.CreatedAt),
            StartedAt = outcome.StartedAt == default ? null : Times.ToMilliseconds(outcome.StartedAt),
            CompletedAt = Times.ToMilliseconds(outcome.CompletedAt),
            DurationMs = Round(outcome.Duration),
            InitDurationMs = outcome.InitDuration is { } init ? Round(init) : null,
            BilledMs = outcome.BilledMs,
            MemoryMb = subject.Spec?.MemoryMb ?? 0,
            PeakMemoryBytes = outcome.PeakMemoryBytes,
            ColdStart = reached ? outcome.ColdStart : null,
            Engine = subject.Spec?.Engine,
            StartMode = outcome.Start switch
            {
                null => null,
                StartMode.Exec => "exec",
                _ => "zygote",
            },
            StartReason = outcome.StartReason,
            SandboxId = outcome.SandboxId,
            Unenforced = subject.Spec is { } spec ? engines.Unenforced(spec.Engine) : null,
            Payload = payload,
            Result = outcome.Status == InvocationStatus.Completed ? outcome.Result : Nothing,
            Log = outcome.Log.Lines.Count == 0 ? Nothing : LogJson(outcome.Log),
            LogDroppedLines = outcome.Log.DroppedLines,
            LogDroppedBytes = outcome.Log.DroppedBytes,
        };
    }

    public static string StreamName(LogStream stream) => stream switch
    {
        LogStream.Stdout => "stdout",
        LogStream.Stderr => "stderr",
        _ => "platform",
    };

    private string ErrorJson(InvocationError error)
    {
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            json.WriteStartObject();
            json.WriteString("type", FaultName(error.Type));
            json.WriteString("name", error.Name);
            json.WriteString("message", error.Message);
            json.WriteStartArray("stackTrace");
            foreach (var frame in error.StackTrace)
            {
                json.WriteStringValue(frame);
            }

            json.WriteEndArray();
            json.WriteEndObject();
            json.Flush();
            return System.Text.Encoding.UTF8.GetString(buffer.Bytes.WrittenSpan);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    private byte[] LogJson(CapturedLog log)
    {
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            foreach (var line in log.Lines)
            {
                json.WriteStartObject();
                json.WriteNumber("t"u8, line.Time.ToUnixTimeMilliseconds());
                json.WriteString("s"u8, StreamName(line.Stream));
                json.WriteString("m"u8, line.Text);
                json.WriteEndObject();
                json.Flush();
                buffer.Bytes.GetSpan(1)[0] = (byte)'\n';
                buffer.Bytes.Advance(1);
                json.Reset(buffer.Bytes);
            }

            return buffer.Bytes.WrittenSpan.ToArray();
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    public static double Round(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);

    public static string StatusName(InvocationStatus status) => status switch
    {
        InvocationStatus.Completed => "COMPLETED",
        InvocationStatus.Failed => "FAILED",
        InvocationStatus.Cancelled => "CANCELLED",
        InvocationStatus.Running => "RUNNING",
        _ => "PENDING",
    };

    public static string FaultName(FaultType type) => Enum.GetName(type) ?? nameof(FaultType.Unhandled);
}

using Flint.Data.Invocations;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Services;

/// <summary>Turns an outcome into the row that history keeps and answers are written from.</summary>
internal sealed class InvocationRows(JsonBuffers buffers, HistoryOptions history, EngineDirectory engines)
{
    /// <summary>Absent, which is not empty: a null array would become empty memory.</summary>
    private static ReadOnlyMemory<byte>? Nothing => null;

    public InvocationRow Make(CatalogEntry entry, string id, string? qualifier, byte[] payload, DateTimeOffset createdAt, InvocationOutcome outcome)
    {
        var spec = entry.Spec;
        var reached = outcome.SandboxId is not null;
        return new InvocationRow
        {
            TenantId = spec.TenantId,
            Id = id,
            FunctionId = spec.FunctionId,
            FunctionName = spec.Name,
            Version = spec.Version,
            Qualifier = qualifier,
            Mode = "sync",
            Status = StatusName(outcome.Status),
            ErrorType = outcome.Error is { } error ? FaultName(error.Type) : null,
            ErrorJson = outcome.Error is null ? null : ErrorJson(outcome.Error),
            CreatedAt = Times.ToMilliseconds(createdAt),
            StartedAt = outcome.StartedAt == default ? null : Times.ToMilliseconds(outcome.StartedAt),
            CompletedAt = Times.ToMilliseconds(outcome.CompletedAt),
            DurationMs = Round(outcome.Duration),
            InitDurationMs = outcome.InitDuration is { } init ? Round(init) : null,
            BilledMs = outcome.BilledMs,
            MemoryMb = spec.MemoryMb,
            PeakMemoryBytes = outcome.PeakMemoryBytes,
            ColdStart = reached ? outcome.ColdStart : null,
            Engine = spec.Engine,
            StartMode = outcome.Start switch
            {
                null => null,
                StartMode.Exec => "exec",
                _ => "zygote",
            },
            StartReason = outcome.StartReason,
            SandboxId = outcome.SandboxId,
            Unenforced = engines.Unenforced(spec.Engine),
            Payload = Keeps(outcome.Status, payload.Length) ? payload : Nothing,
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

    private bool Keeps(InvocationStatus status, int size) =>
        size <= history.MaxPayloadBytes
        && (history.PayloadMode == PayloadMode.All || (history.PayloadMode == PayloadMode.Failed && status != InvocationStatus.Completed));

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

    private static double Round(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);

    private static string StatusName(InvocationStatus status) => status switch
    {
        InvocationStatus.Completed => "COMPLETED",
        InvocationStatus.Failed => "FAILED",
        InvocationStatus.Cancelled => "CANCELLED",
        InvocationStatus.Running => "RUNNING",
        _ => "PENDING",
    };

    private static string FaultName(FaultType type) => Enum.GetName(type) ?? nameof(FaultType.Unhandled);
}

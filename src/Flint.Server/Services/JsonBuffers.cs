using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.ObjectPool;

namespace Flint.Server.Services;

/// <summary>A JSON writer on memory, lent and taken back: answers and log rows are written for every invocation.</summary>
internal sealed class JsonBuffer : IResettable, IDisposable
{
    private const int MaxKept = 256 * 1024;

    private ArrayBufferWriter<byte> _bytes = new(2048);

    // The answer's content type is JSON, never HTML, so what is merely unsafe in HTML stays readable.
    public Utf8JsonWriter Writer { get; } = new(Stream.Null, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    public JsonBuffer() => Writer.Reset(_bytes);

    /// <summary>What was written, once the writer is flushed.</summary>
    public ArrayBufferWriter<byte> Bytes => _bytes;

    public bool TryReset()
    {
        if (_bytes.Capacity > MaxKept)
        {
            _bytes = new ArrayBufferWriter<byte>(2048);
        }

        _bytes.ResetWrittenCount();
        Writer.Reset(_bytes);
        return true;
    }

    public void Dispose() => Writer.Dispose();
}

/// <summary>Lends <see cref="JsonBuffer"/>s. Thread-safe.</summary>
internal sealed class JsonBuffers
{
    private readonly ObjectPool<JsonBuffer> _pool = new DefaultObjectPoolProvider { MaximumRetained = 128 }.Create<JsonBuffer>();

    public JsonBuffer Rent() => _pool.Get();

    public void Return(JsonBuffer buffer) => _pool.Return(buffer);
}

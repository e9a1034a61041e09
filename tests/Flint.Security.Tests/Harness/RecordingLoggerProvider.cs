using Microsoft.Extensions.Logging;

namespace Flint.Security.Tests.Harness;

/// <summary>Writes what the platform logs at warning and above to the test's output.</summary>
internal sealed class RecordingLoggerProvider : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => new Recorder(categoryName);

    public void Dispose()
    {
    }

    private sealed class Recorder(string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                try
                {
                    TestContext.Current.TestOutputHelper?.WriteLine($"{logLevel} {category}: {formatter(state, exception)} {exception?.Message}");
                }
                catch (InvalidOperationException)
                {
                    // A worker outlives tests: the one whose context this thread began with is over.
                }
            }
        }
    }
}

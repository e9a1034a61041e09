using System.Text.Json;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Server.Services;

namespace Flint.Server.Queue.Workers;

/// <summary>The attempts of one item so far, as its record tells of them. Immutable.</summary>
internal sealed class AttemptNotes
{
    /// <summary>An error's message is the function's own text, and each attempt has one.</summary>
    private const int MostMessage = 1000;

    private readonly List<AttemptNote> _notes;

    private AttemptNotes(List<AttemptNote> notes) => _notes = notes;

    /// <summary>How often the item was lost with its sandbox.</summary>
    public int Lost => _notes.Count(static note => note.ErrorType == nameof(FaultType.SandboxLost));

    public static AttemptNotes Of(ClaimedItem item) =>
        new(item.AttemptsJson is { } json ? JsonSerializer.Deserialize(json, QueuedWorkJson.Default.ListAttemptNote) ?? [] : []);

    /// <summary>How often the attempt of this number was put off.</summary>
    public int Refusals(int number) => _notes.FirstOrDefault(note => note.Number == number)?.Refusals ?? 0;

    /// <summary>With this attempt; the note that it was put off, if there is one, becomes part of it, so that the list stays as short as the attempts are few.</summary>
    public string With(int number, InvocationOutcome outcome, string worker, bool ran)
    {
        var note = new AttemptNote(
            number,
            Times.ToMilliseconds(outcome.StartedAt == default ? outcome.CompletedAt : outcome.StartedAt),
            Times.ToMilliseconds(outcome.CompletedAt),
            InvocationRows.StatusName(outcome.Status),
            outcome.Error is { } error ? InvocationRows.FaultName(error.Type) : null,
            Short(outcome.Error?.Message),
            worker,
            InvocationRows.Round(outcome.Duration),
            Refusals(number) + (ran ? 0 : 1));
        return JsonSerializer.Serialize([.. _notes.Where(known => known.Number != number), note], QueuedWorkJson.Default.ListAttemptNote);
    }

    private static string? Short(string? message)
    {
        if (message is not { Length: > MostMessage })
        {
            return message;
        }

        // Half a surrogate pair is no text.
        return message[..(char.IsHighSurrogate(message[MostMessage - 1]) ? MostMessage - 1 : MostMessage)];
    }
}

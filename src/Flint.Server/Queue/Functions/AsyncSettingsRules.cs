using System.Globalization;
using System.Text.RegularExpressions;
using Flint.Contracts.Functions;
using Flint.Contracts.Jobs;
using Flint.Server.Queue.Destinations;
using Flint.Server.Services;

namespace Flint.Server.Queue.Functions;

/// <summary>Checks what a function says of its asynchronous invocations. All refusals name the member and the limit.</summary>
internal sealed partial class AsyncSettingsRules(WebhookAddresses addresses)
{
    public const int MaxRetries = 10;
    public const long MaxEventAgeMs = 7L * 24 * 60 * 60 * 1000;
    private const int MaxUrl = 2048;
    private const int MaxSecret = 256;
    private const int LongestDelayMs = 24 * 60 * 60 * 1000;

    /// <param name="current">As they were: a webhook that stays keeps its secret.</param>
    public AsyncRules Make(AsyncSettings settings, AsyncRules current) => new()
    {
        Retry = Backoff(settings.Backoff) with
        {
            Retries = (int)Range("async.maxRetries", settings.MaxRetries ?? AsyncRules.DefaultRetries, 0, MaxRetries),
            MaxAgeMs = Range("async.maxEventAgeMs", settings.MaxEventAgeMs ?? AsyncRules.DefaultMaxEventAgeMs, 1000, MaxEventAgeMs),
        },
        OnSuccess = settings.OnSuccess is { } success ? Destination("async.onSuccess", success, current.OnSuccess) : null,
        OnFailure = settings.OnFailure is { } failure ? Destination("async.onFailure", failure, current.OnFailure) : AsyncRules.Default.OnFailure,
    };

    public static AsyncView View(AsyncRules rules) => new(
        rules.Retry.Retries, rules.Retry.MaxAgeMs, new BackoffView(rules.Retry.Backoff, rules.Retry.DelayMs, rules.Retry.MaxDelayMs, rules.Retry.Jitter), View(rules.OnSuccess), View(rules.OnFailure));

    public static string CheckList(string name, string field) =>
        ListName().IsMatch(name)
            ? name
            : throw new RefusedException("invalid_name", "A dead-letter list's name is 1 to 64 of letters, digits, - and _.", field: field, limit: "64 characters");

    private static DestinationView View(Destination? destination) => destination is null
        ? new(null, null, null, null, true)
        : new(destination.Function, destination.Webhook, destination.Webhook is null ? null : destination.Secret is not null, destination.DeadLetterList, null);

    private static RetryRules Backoff(BackoffSettings? backoff)
    {
        var rules = AsyncRules.Default.Retry;
        if (backoff is null)
        {
            return rules;
        }

        var type = backoff.Type ?? rules.Backoff;
        if (type is not ("fixed" or "exponential"))
        {
            throw new RefusedException("invalid_field", "async.backoff.type must be fixed or exponential.", field: "async.backoff.type", limit: "fixed, exponential");
        }

        var delay = (int)Range("async.backoff.delayMs", backoff.DelayMs ?? rules.DelayMs, 0, LongestDelayMs);
        return rules with
        {
            Backoff = type,
            DelayMs = delay,
            MaxDelayMs = (int)Range("async.backoff.maxDelayMs", backoff.MaxDelayMs ?? Math.Max(rules.MaxDelayMs, delay), delay, LongestDelayMs),
            Jitter = backoff.Jitter ?? rules.Jitter,
        };
    }

    private Destination? Destination(string field, DestinationSettings settings, Destination? current)
    {
        var given = (settings.Function is null ? 0 : 1) + (settings.Webhook is null ? 0 : 1) + (settings.DeadLetterList is null ? 0 : 1) + (settings.None is true ? 1 : 0);
        if (given != 1 || (settings.Secret is not null && settings.Webhook is null))
        {
            throw new RefusedException("invalid_field", $"{field} has exactly one of function, webhook (with a secret or without), deadLetterList and none.", field: field);
        }

        return settings switch
        {
            { Function: { } function } => new Destination { Function = Function($"{field}.function", function) },
            { Webhook: { } url } => new Destination { Webhook = Webhook($"{field}.webhook", url), Secret = Secret($"{field}.secret", settings.Secret, current?.Webhook == url ? current.Secret : null) },
            { DeadLetterList: { } list } when field.EndsWith("onFailure", StringComparison.Ordinal) => new Destination { DeadLetterList = CheckList(list, $"{field}.deadLetterList") },
            { DeadLetterList: not null } => throw new RefusedException("invalid_field", "Dead-letter lists are for failures.", field: $"{field}.deadLetterList"),
            _ => null,
        };
    }

    private static string Function(string field, string text)
    {
        try
        {
            var (name, qualifier) = Split(text);
            Names.CheckFunction(name);
            if (qualifier is not null)
            {
                Names.CheckQualifier(qualifier);
            }

            return text;
        }
        catch (RefusedException refused)
        {
            throw new RefusedException(refused.Code, refused.Message, field: field, limit: refused.Limit);
        }
    }

    /// <summary>A function destination's parts.</summary>
    public static FunctionWork Split(string function) => function.Split(':', 2) is [var name, var qualifier] ? new(name, qualifier) : new(function, null);

    private string Webhook(string field, string text)
    {
        if (text.Length > MaxUrl || !Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.Host.Length == 0 || url.UserInfo.Length > 0 || url.Fragment.Length > 0)
        {
            throw new RefusedException("invalid_webhook", "A webhook is an absolute http or https address without user name and fragment.", field: field, limit: $"{MaxUrl} characters");
        }

        return addresses.IsRefused(url.IdnHost)
            ? throw new RefusedException("invalid_webhook", new AddressRefusedException(url.Host).Message, field: field, knob: "Flint:Webhooks:AllowPrivate")
            : text;
    }

    private static string? Secret(string field, string? given, string? current) => given switch
    {
        null => current,
        "" => null,
        { Length: > MaxSecret } => throw new RefusedException("out_of_range", "The secret is too long.", field: field, limit: $"{MaxSecret} characters"),
        _ => given,
    };

    private static long Range(string field, long value, long min, long max) =>
        value >= min && value <= max
            ? value
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"{field} is {value}; it must be {min} to {max}."),
                field: field, limit: string.Create(CultureInfo.InvariantCulture, $"{min} to {max}"));

    [GeneratedRegex(@"^[a-zA-Z0-9_-]{1,64}\z")]
    private static partial Regex ListName();
}

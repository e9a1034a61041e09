using System.Globalization;
using System.Numerics;
using Flint.Server.Services;

namespace Flint.Server.Queue.Schedules;

/// <summary>One field of a cron expression, as the set of values that it takes. Vixie cron's grammar: lists of <c>*</c>, numbers and ranges, with steps and names.</summary>
/// <param name="Values">Bit n: the value n.</param>
/// <param name="Star">It begins with <c>*</c>; then it never makes the other day field an alternative.</param>
internal readonly record struct CronField(ulong Values, bool Star)
{
    private static readonly string[] MonthNames = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    private static readonly string[] DayNames = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

    public static CronField Minute(string text) => Parse(new Shape("minute", 0, 59, []), text);

    public static CronField Hour(string text) => Parse(new Shape("hour", 0, 23, []), text);

    public static CronField DayOfMonth(string text) => Parse(new Shape("day of month", 1, 31, []), text);

    public static CronField Month(string text) => Parse(new Shape("month", 1, 12, MonthNames), text);

    /// <summary>0 and 7 are Sunday; the set has 0 to 6.</summary>
    public static CronField DayOfWeek(string text)
    {
        var field = Parse(new Shape("day of week", 0, 7, DayNames), text);
        return field with { Values = (field.Values | (field.Values >> 7)) & 0x7F };
    }

    public bool Has(int value) => (Values >> value & 1) != 0;

    public int Least => BitOperations.TrailingZeroCount(Values);

    public bool IsFull(int min, int max) => Values == Span(min, max);

    public IEnumerable<int> All()
    {
        for (var rest = Values; rest != 0; rest &= rest - 1)
        {
            yield return BitOperations.TrailingZeroCount(rest);
        }
    }

    private static CronField Parse(Shape shape, string text)
    {
        var values = 0UL;
        foreach (var item in text.Split(','))
        {
            values |= Item(shape, item);
        }

        return new CronField(values, text[0] == '*');
    }

    private static ulong Item(Shape shape, string item)
    {
        var (range, step) = item.Split('/') switch
        {
            [var whole] => (whole, 1),
            [var whole, var every] => (whole, Step(shape, item, every)),
            _ => throw shape.Wrong(item, "it has more than one step"),
        };
        if (range == "*")
        {
            return Span(shape.Min, shape.Max == 7 ? 6 : shape.Max, step);
        }

        switch (range.Split('-'))
        {
            case [var one] when item.Contains('/'):
                throw shape.Wrong(item, $"a step follows * or a range, such as {one}-{shape.Max}/{step}");
            case [var one]:
                var value = Value(shape, item, one);
                return Span(value, value);
            case [var from, var to]:
                var (first, last) = (Value(shape, item, from), Value(shape, item, to));
                return first <= last ? Span(first, last, step) : throw shape.Wrong(item, "a range goes upwards");
            default:
                throw shape.Wrong(item, "it is no number, name or range");
        }
    }

    private static int Value(Shape shape, string item, string text)
    {
        var name = Array.FindIndex(shape.Names, known => known.Equals(text, StringComparison.OrdinalIgnoreCase));
        if (name >= 0)
        {
            return name + shape.Min;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= shape.Min && value <= shape.Max
            ? value
            : throw shape.Wrong(item, text.AsSpan().ContainsAny("?LlWw#")
                ? "the signs ?, L, W and # of other schedulers are not taken"
                : "it is no number, name or range within the limits");
    }

    private static int Step(Shape shape, string item, string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var step) && step >= 1 && step <= shape.Max
            ? step
            : throw shape.Wrong(item, $"a step is 1 to {shape.Max}");

    private static ulong Span(int first, int last, int step = 1)
    {
        var values = 0UL;
        for (var value = first; value <= last; value += step)
        {
            values |= 1UL << value;
        }

        return values;
    }

    private sealed record Shape(string Name, int Min, int Max, string[] Names)
    {
        public RefusedException Wrong(string item, string why) => new("invalid_cron",
            $"'{Packages.EntryNames.Escape(item)}' cannot stand for the {Name}: {why}.", field: "expression",
            limit: Names.Length == 0 ? $"{Min} to {Max}" : $"{Min} to {Max}, {Names[0]} to {Names[^1]}");
    }
}

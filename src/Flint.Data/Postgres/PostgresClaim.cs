using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;

namespace Flint.Data.Postgres;

/// <summary>
/// Claims: rounds of one transaction and two round trips each. The first finds lanes and locks those with limits, the second, whose snapshot shows what was
/// committed before the locks were got, takes items and commits. A lane has little, or is locked: what places are left go to another round.
/// </summary>
internal sealed class PostgresClaim(PostgresDatabase database)
{
    // Enough that places do not stay empty beside work, few enough that a claim ends.
    private const int MostRounds = 4;
    private const int MostPromoted = 1000;

    // When rounds did not suffice: others are at the same lanes.
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(20);

    private readonly ClaimCursor _cursor = new();

    public async Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken)
    {
        QueueRules.Check(request);
        var items = new List<ClaimedItem>();
        for (var round = 1; ; round++)
        {
            ClaimRound done;
            try
            {
                done = await RoundAsync(request.WorkerId, request.Places - items.Count, round, cancellationToken);
            }
            catch (Exception exception) when (items.Count > 0 && exception is DatabaseException or OperationCanceledException)
            {
                // What is leased must be told.
                return new ClaimResult(items, LeaseHeld: true, Soon);
            }

            items.AddRange(done.Items);
            if (!done.LeaseHeld || items.Count >= request.Places || !done.More)
            {
                return new ClaimResult(items, done.LeaseHeld, done.NextDue);
            }

            if (round == MostRounds)
            {
                return new ClaimResult(items, LeaseHeld: true, done.NextDue < Soon ? done.NextDue : Soon);
            }
        }
    }

    private Task<ClaimRound> RoundAsync(string workerId, int places, int number, CancellationToken cancellationToken)
    {
        // Of a round whose end is unknown: when its claim was committed, nobody was told of it.
        DateTime? unknown = null;
        return database.RunAsync(
            async connection =>
            {
                if (unknown is { } at)
                {
                    await GiveBackAsync(connection, workerId, at, cancellationToken);
                }

                var round = await LookAsync(connection, workerId, new ClaimRound(places, number), cancellationToken);
                unknown = round.Now;
                if (round.Lanes.Count == 0)
                {
                    await EndAsync(connection, cancellationToken);
                }
                else
                {
                    await TakeAsync(connection, workerId, round, cancellationToken);
                }

                return round;
            },
            cancellationToken);
    }

    private async Task<ClaimRound> LookAsync(NpgsqlConnection connection, string workerId, ClaimRound round, CancellationToken cancellationToken)
    {
        var start = _cursor.Read();
        await using var batch = new NpgsqlBatch(connection);
        batch.Begin();
        batch.Add(PostgresClaimSql.Promote).Int(MostPromoted);
        batch.Add(PostgresClaimSql.Now).Text(workerId);
        batch.Add(PostgresClaimSql.Candidates)
            .Text(start.Tenant).Int(round.MostTenants)
            .Column(NpgsqlDbType.Text, start.Lanes, lane => lane.Tenant).Column(NpgsqlDbType.Text, start.Lanes, lane => lane.Lane)
            .Int(round.MostLanes).Int(ClaimRound.MostSteps).Int(round.Places);
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        round.At(
            reader.GetFieldValue<DateTime>(0), reader.GetBoolean(1), reader.IsDBNull(2) ? null : TimeSpan.FromMilliseconds(reader.GetDouble(2)));
        await reader.NextResultAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            round.Add(Candidate(reader));
        }

        round.Share();
        _cursor.Advance(round);
        return round;
    }

    private static async Task TakeAsync(NpgsqlConnection connection, string workerId, ClaimRound round, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(connection);
        batch.Add(PostgresClaimSql.Claim)
            .Column(NpgsqlDbType.Text, round.Lanes, lane => lane.Tenant).Column(NpgsqlDbType.Text, round.Lanes, lane => lane.Lane)
            .Column(NpgsqlDbType.Integer, round.Lanes, lane => lane.Ask).Column(NpgsqlDbType.Boolean, round.Lanes, lane => lane.HasRow)
            .Text(workerId).Value(round.Now, NpgsqlDbType.TimestampTz).Long(QueueRules.ClaimBytes);
        batch.Commit();
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            round.Took((int)reader.GetInt64(0) - 1, PostgresQueueRows.Item(reader), cut: reader.GetBoolean(8));
        }

        await reader.CompleteAsync(cancellationToken);
    }

    private static async Task EndAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("COMMIT", connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static async Task GiveBackAsync(NpgsqlConnection connection, string workerId, DateTime at, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(connection);
        batch.Add(PostgresClaimSql.GiveBack).Text(workerId).Value(at, NpgsqlDbType.TimestampTz);
        await batch.ExecuteNonQueryAsync(cancellationToken);
    }

    private static LaneCandidate Candidate(NpgsqlDataReader reader) => new()
    {
        Tenant = reader.GetString(0),
        Lane = reader.GetString(1),
        Turn = reader.GetInt32(2),
        Step = reader.GetInt32(3),
        Found = reader.GetInt32(4),
        Chosen = reader.GetBoolean(5),
        Open = reader.GetBoolean(6),
        HasRow = reader.GetBoolean(7),
        Wait = reader.IsDBNull(8) ? null : TimeSpan.FromMicroseconds(reader.GetInt64(8)),
        Locked = reader.GetBoolean(9),
        Rate = reader.IsDBNull(11) ? null : new LaneRate(reader.GetInt32(11), TimeSpan.FromMilliseconds(reader.GetInt64(12))),
        Ahead = reader.IsDBNull(13) ? 0 : reader.GetInt64(13),
    };
}

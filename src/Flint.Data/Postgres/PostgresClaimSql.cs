namespace Flint.Data.Postgres;

/// <summary>The statements of a claim. The states stand literally in the text, as partial indexes need it.</summary>
internal static class PostgresClaimSql
{
    /// <summary>Makes READY what is due; nearly always one probe that finds nothing. $1: how many at most.</summary>
    public const string Promote = """
        UPDATE queue q SET state = 'READY'
        FROM (
            SELECT tenant_id, id FROM queue WHERE state = 'DELAYED' AND run_at <= (SELECT clock_timestamp())
            ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
        WHERE q.tenant_id = due.tenant_id AND q.id = due.id
        """;

    /// <summary>The time; whether worker $1 holds its lease; in how many ms the next delayed item is due.</summary>
    public const string Now = """
        SELECT t.now, EXISTS (SELECT FROM workers w WHERE w.id = $1 AND w.lease_until > t.now),
            (SELECT (extract(epoch FROM q.run_at - t.now) * 1000)::float8 FROM queue q WHERE q.state = 'DELAYED' ORDER BY q.run_at LIMIT 1)
        FROM (SELECT clock_timestamp() AS now) t
        """;

    // Steps of a walk around: from one key to the next by one probe each, and from the end to the beginning until where it began.
    private const string NextTenant = """
        SELECT x.tenant_id, x.wrapped
        FROM (
            (SELECT q.tenant_id, t.wrapped FROM queue q WHERE q.state = 'READY' AND q.tenant_id > t.tenant_id ORDER BY q.tenant_id LIMIT 1)
            UNION ALL
            (SELECT q.tenant_id, TRUE FROM queue q WHERE q.state = 'READY' AND NOT t.wrapped ORDER BY q.tenant_id LIMIT 1)) x
        WHERE NOT x.wrapped OR x.tenant_id <= $1 LIMIT 1
        """;

    private const string NextLane = """
        SELECT x.lane, x.wrapped
        FROM (
            (SELECT q.lane, w.wrapped FROM queue q WHERE q.state = 'READY' AND q.tenant_id = t.tenant_id AND q.lane > w.lane ORDER BY q.tenant_id, q.lane LIMIT 1)
            UNION ALL
            (SELECT q.lane, TRUE FROM queue q WHERE q.state = 'READY' AND q.tenant_id = t.tenant_id AND NOT w.wrapped ORDER BY q.tenant_id, q.lane LIMIT 1)) x
        WHERE NOT x.wrapped OR x.lane <= coalesce(c.lane, '') LIMIT 1
        """;

    // By the lane's row, if it has one: how long until its rate allows a start (as CellRate has it, in microseconds), and whether anything else forbids one.
    private const string LaneNow = """
        SELECT n.lane, n.wrapped, l.lane IS NOT NULL AS has_row,
            coalesce(l.paused, FALSE) OR l.max_running <= (
                SELECT count(*) FROM (
                    SELECT FROM queue r WHERE r.state = 'RUNNING' AND r.limited AND r.tenant_id = l.tenant_id AND r.lane = l.lane LIMIT l.max_running) r) AS shut,
            CASE WHEN l.rate_starts IS NOT NULL THEN
                (extract(epoch FROM greatest(l.rate_next, s.now) - s.now) * 1000000)::bigint + l.rate_period_ms * 1000 / l.rate_starts * (1 - l.rate_starts) END AS wait
        FROM n LEFT JOIN lanes l ON l.tenant_id = t.tenant_id AND l.lane = n.lane
            CROSS JOIN (SELECT clock_timestamp() AS now) s
        """;

    /// <summary>
    /// Lanes with work, tenants in turn after tenant $1 (at most $2), of each at most $5 open ones after its lane in $3 and $4, within $6 steps; the first $7 of
    /// them are to be claimed from, and those that have a row are locked if nobody else has. Closed ones are among the rows, for how long they stay so.
    /// </summary>
    /// <remarks>FOR NO KEY UPDATE: enqueues into the lane, which take a key share of its row, do not wait for claims.</remarks>
    public const string Candidates = $"""
        WITH RECURSIVE tenants (tenant_id, wrapped, turn) AS (
            SELECT $1 COLLATE "C", FALSE, 0
            UNION ALL
            SELECT n.tenant_id, n.wrapped, t.turn + 1 FROM tenants t CROSS JOIN LATERAL ({NextTenant}) n WHERE t.turn < $2),
        walked AS MATERIALIZED (
            SELECT t.tenant_id, t.turn, w.lane, w.step, w.found, w.open, w.has_row, w.wait
            FROM tenants t
            LEFT JOIN unnest($3, $4) c (tenant_id, lane) ON c.tenant_id = t.tenant_id
            CROSS JOIN LATERAL (
                WITH RECURSIVE walk (lane, wrapped, step, found, open, has_row, wait) AS (
                    SELECT coalesce(c.lane, '') COLLATE "C", FALSE, 0, 0, FALSE, FALSE, NULL::bigint
                    UNION ALL
                    SELECT k.lane, k.wrapped, w.step + 1, w.found + CASE WHEN k.open THEN 1 ELSE 0 END, k.open, k.has_row, CASE WHEN NOT k.shut THEN k.wait END
                    FROM walk w CROSS JOIN LATERAL (
                        WITH n AS ({NextLane})
                        SELECT s.lane, s.wrapped, s.has_row, s.wait, coalesce(s.shut, FALSE) AS shut, NOT coalesce(s.shut, FALSE) AND coalesce(s.wait <= 0, TRUE) AS open
                        FROM ({LaneNow}) s) k
                    WHERE w.found < $5 AND w.step < $6)
                SELECT * FROM walk WHERE step > 0) w
            WHERE t.turn > 0),
        ranked AS MATERIALIZED (SELECT *, open AND sum(CASE WHEN open THEN 1 ELSE 0 END) OVER (ORDER BY found, turn, step) <= $7 AS chosen FROM walked),
        locked AS (
            SELECT l.tenant_id, l.lane, l.paused, l.max_running, l.rate_starts, l.rate_period_ms,
                (extract(epoch FROM greatest(l.rate_next, s.now) - s.now) * 1000000)::bigint AS ahead
            FROM lanes l JOIN ranked r ON r.tenant_id = l.tenant_id AND r.lane = l.lane CROSS JOIN (SELECT clock_timestamp() AS now) s
            WHERE r.chosen AND r.has_row
            FOR NO KEY UPDATE OF l SKIP LOCKED)
        SELECT r.tenant_id, r.lane, r.turn, r.step, r.found, r.chosen, r.open, r.has_row, r.wait,
            k.lane IS NOT NULL AND NOT k.paused, k.max_running, k.rate_starts, k.rate_period_ms, k.ahead
        FROM ranked r LEFT JOIN locked k ON k.tenant_id = r.tenant_id AND k.lane = r.lane
        ORDER BY r.found, r.turn, r.step
        """;

    /// <summary>
    /// Claims of the lanes $1 and $2 up to $3 each, and about $7 bytes, for worker $5 as of $6; in turn, as they should begin. $4: the lane's row is locked, so that what runs in it stands still and is counted anew;
    /// of a lane that had no row nothing is taken when it has limits by now.
    /// </summary>
    public const string Claim = """
        WITH asked AS MATERIALIZED (
            SELECT a.tenant_id, a.lane, a.turn, coalesce(l.max_running IS NOT NULL, FALSE) AS limited,
                CASE
                    WHEN NOT a.locked AND (l.paused OR l.max_running IS NOT NULL OR l.rate_starts IS NOT NULL) THEN 0
                    WHEN l.max_running IS NULL THEN a.share
                    ELSE least(a.share, greatest(0, l.max_running - (
                        SELECT count(*) FROM queue r WHERE r.state = 'RUNNING' AND r.limited AND r.tenant_id = a.tenant_id AND r.lane = a.lane))) END AS most
            FROM unnest($1, $2, $3, $4) WITH ORDINALITY a (tenant_id, lane, share, locked, turn)
            LEFT JOIN lanes l ON l.tenant_id = a.tenant_id AND l.lane = a.lane),
        picked AS MATERIALIZED (
            SELECT a.turn, a.limited, p.tenant_id, p.id, row_number() OVER (PARTITION BY a.turn ORDER BY p.priority DESC, p.run_at, p.id) AS rank
            FROM asked a CROSS JOIN LATERAL (
                SELECT q.tenant_id, q.id, q.priority, q.run_at FROM queue q WHERE q.state = 'READY' AND q.tenant_id = a.tenant_id AND q.lane = a.lane
                ORDER BY q.priority DESC, q.run_at, q.id LIMIT a.most FOR UPDATE SKIP LOCKED) p),
        sized AS MATERIALIZED (
            SELECT p.*, sum(s.bytes) OVER (ORDER BY p.rank, p.turn) - s.bytes < $7 AS kept
            FROM picked p JOIN invocation_work w ON w.tenant_id = p.tenant_id AND w.id = p.id
            CROSS JOIN LATERAL (
                SELECT octet_length(w.work)::bigint + coalesce(octet_length(w.source), 0) + coalesce(octet_length(w.payload), 0) AS bytes) s),
        claimed AS (
            UPDATE queue q SET state = 'RUNNING', worker_id = $5, claimed_at = $6, lease_no = q.lease_no + 1, attempt = q.attempt + 1, limited = p.limited
            FROM sized p WHERE p.kept AND q.tenant_id = p.tenant_id AND q.id = p.id
            RETURNING p.turn, p.rank, q.tenant_id, q.id, q.lease_no, q.attempt, q.losses, q.lane, q.priority, q.claimed_at, q.expires_at),
        used AS (
            UPDATE lanes l SET used_at = clock_timestamp(), rate_next = CASE WHEN l.rate_starts IS NULL THEN l.rate_next
                ELSE greatest(l.rate_next, clock_timestamp()) + u.starts * (l.rate_period_ms * 1000 / l.rate_starts) * interval '1 microsecond' END
            FROM (SELECT tenant_id, lane, count(*) AS starts FROM claimed GROUP BY tenant_id, lane) u
            WHERE l.tenant_id = u.tenant_id AND l.lane = u.lane)
        SELECT c.turn, c.tenant_id, c.id, c.lease_no, c.attempt, c.losses, c.lane, c.priority, EXISTS (SELECT FROM sized s WHERE NOT s.kept), c.claimed_at, coalesce(c.expires_at <= clock_timestamp(), FALSE),
            i.mode, i.function_id, i.function_name, i.version, i.qualifier, i.created_at, w.work,
            CASE WHEN c.lease_no > 1 THEN (SELECT d.attempts FROM invocation_data d WHERE d.tenant_id = c.tenant_id AND d.id = c.id) END, w.tags, w.source, w.payload
        FROM claimed c
        JOIN invocations i ON i.tenant_id = c.tenant_id AND i.id = c.id
        JOIN invocation_work w ON w.tenant_id = c.tenant_id AND w.id = c.id
        ORDER BY c.rank, c.turn
        """;

    /// <summary>Gives back what worker $1 was leased at the time $2: nobody was told of it, so nobody runs it.</summary>
    public const string GiveBack = """
        UPDATE queue SET state = 'READY', worker_id = NULL, claimed_at = NULL, limited = FALSE, attempt = attempt - 1
        WHERE state = 'RUNNING' AND worker_id = $1 AND claimed_at = $2
        """;
}

-- The queue (docs/decisions/0009-the-queue.md). A queue row exists while its invocation is unfinished; claims touch no other table.
ALTER TABLE invocations ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
-- Jobs are listed by themselves; no other invocation pays for it.
CREATE INDEX ix_invocations_jobs ON invocations (tenant_id, id) WHERE mode = 'job';
-- What became of each attempt (JSON).
ALTER TABLE invocation_data ADD COLUMN attempts TEXT;

-- What a queued invocation was enqueued with: how to run it (JSON), tags (JSON array), a job's code, payload. Written once: invocation_data has what
-- came of it, so that its end copies no payload. Small columns first, as lists read them.
CREATE TABLE invocation_work (
    tenant_id TEXT NOT NULL,
    id        BLOB NOT NULL,
    work      TEXT NOT NULL,
    tags      TEXT,
    source    BLOB,
    payload   BLOB,
    PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE TABLE queue (
    tenant_id  TEXT    NOT NULL,
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    state      TEXT    NOT NULL CHECK (state IN ('READY', 'DELAYED', 'RUNNING')),
    lane       TEXT    NOT NULL,
    limited    INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    run_at     INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    lease_no   INTEGER NOT NULL,
    losses     INTEGER NOT NULL,
    worker_id  TEXT,
    claimed_at INTEGER,
    expires_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ix_queue_ready ON queue (tenant_id, lane, priority DESC, run_at, id) WHERE state = 'READY';
CREATE INDEX ix_queue_delayed ON queue (run_at) WHERE state = 'DELAYED';
CREATE INDEX ix_queue_worker ON queue (worker_id) WHERE state = 'RUNNING';
-- Only lanes with a limit are counted.
CREATE INDEX ix_queue_limited ON queue (tenant_id, lane) WHERE state = 'RUNNING' AND limited = 1;
CREATE INDEX ix_queue_expiry ON queue (expires_at) WHERE expires_at IS NOT NULL AND state <> 'RUNNING';

-- Lanes that have limits, or are paused. rate_next is the theoretical arrival time of the generic cell rate algorithm, in microseconds.
CREATE TABLE lanes (
    tenant_id      TEXT    NOT NULL,
    lane           TEXT    NOT NULL,
    paused         INTEGER NOT NULL DEFAULT 0,
    max_running    INTEGER,
    rate_starts    INTEGER,
    rate_period_ms INTEGER,
    rate_next      INTEGER NOT NULL DEFAULT 0,
    used_at        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL,
    product_version TEXT    NOT NULL,
    roles           TEXT    NOT NULL,
    places          INTEGER NOT NULL,
    running         INTEGER NOT NULL,
    draining        INTEGER NOT NULL,
    drain_asked     INTEGER NOT NULL,
    details         TEXT    NOT NULL,
    started_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    lease_until     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    tenant_id   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    id          BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX ix_idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE invocation_tags (
    tenant_id TEXT NOT NULL,
    tag       TEXT NOT NULL,
    id        BLOB NOT NULL,
    PRIMARY KEY (tenant_id, tag, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    tenant_id     TEXT    NOT NULL,
    list          TEXT    NOT NULL,
    id            BLOB    NOT NULL,
    function_name TEXT,
    error_type    TEXT,
    added_at      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, list, id)
) STRICT, WITHOUT ROWID;
-- Retention finds the entries of what it deletes.
CREATE INDEX ix_dead_letters_invocation ON dead_letters (tenant_id, id);

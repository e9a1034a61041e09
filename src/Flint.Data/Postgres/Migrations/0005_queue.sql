-- The queue (docs/decisions/0009-the-queue.md). A queue row exists while its invocation is unfinished; claims touch no other table.
ALTER TABLE invocations ADD COLUMN attempts integer NOT NULL DEFAULT 1;
-- Jobs are listed by themselves; no other invocation pays for it.
CREATE INDEX ix_invocations_jobs ON invocations (tenant_id, id) WHERE mode = 'job';
-- What became of each attempt (JSON).
ALTER TABLE invocation_data ADD COLUMN attempts text;

-- What a queued invocation was enqueued with: how to run it (JSON), tags (JSON array), a job's code, payload. Written once: invocation_data has what
-- came of it, so that its end leaves no dead row here.
CREATE TABLE invocation_work (
    tenant_id text COLLATE "C" NOT NULL,
    id        uuid NOT NULL,
    work      text NOT NULL,
    tags      text,
    source    bytea,
    payload   bytea,
    PRIMARY KEY (tenant_id, id)
);

-- Rows live for as long as the backlog: many die, so that the vacuum must come early, and pages keep room for updates in place.
CREATE TABLE queue (
    tenant_id  text COLLATE "C" NOT NULL,
    id         uuid NOT NULL,
    state      text COLLATE "C" NOT NULL CHECK (state IN ('READY', 'DELAYED', 'RUNNING')),
    lane       text COLLATE "C" NOT NULL,
    limited    boolean NOT NULL,
    priority   integer NOT NULL,
    run_at     timestamptz NOT NULL,
    attempt    integer NOT NULL,
    lease_no   bigint NOT NULL,
    losses     integer NOT NULL,
    worker_id  text COLLATE "C",
    claimed_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ix_queue_ready ON queue (tenant_id, lane, priority DESC, run_at, id) WHERE state = 'READY';
CREATE INDEX ix_queue_delayed ON queue (run_at) WHERE state = 'DELAYED';
CREATE INDEX ix_queue_worker ON queue (worker_id) WHERE state = 'RUNNING';
-- Only lanes with a limit are counted.
CREATE INDEX ix_queue_limited ON queue (tenant_id, lane) WHERE state = 'RUNNING' AND limited;
CREATE INDEX ix_queue_expiry ON queue (expires_at) WHERE expires_at IS NOT NULL AND state <> 'RUNNING';

-- Lanes that have limits, or are paused. rate_next is the theoretical arrival time of the generic cell rate algorithm.
CREATE TABLE lanes (
    tenant_id      text COLLATE "C" NOT NULL,
    lane           text COLLATE "C" NOT NULL,
    paused         boolean NOT NULL DEFAULT FALSE,
    max_running    integer,
    rate_starts    integer,
    rate_period_ms bigint,
    rate_next      timestamptz NOT NULL DEFAULT '-infinity',
    used_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, lane)
);

CREATE TABLE workers (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    name            text NOT NULL,
    product_version text NOT NULL,
    roles           text NOT NULL,
    places          integer NOT NULL,
    running         integer NOT NULL,
    draining        boolean NOT NULL,
    drain_asked     boolean NOT NULL,
    details         text NOT NULL,
    started_at      timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,
    lease_until     timestamptz NOT NULL
);

CREATE TABLE idempotency_keys (
    tenant_id   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    id          uuid NOT NULL,
    fingerprint bytea NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX ix_idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE invocation_tags (
    tenant_id text COLLATE "C" NOT NULL,
    tag       text COLLATE "C" NOT NULL,
    id        uuid NOT NULL,
    PRIMARY KEY (tenant_id, tag, id)
);

CREATE TABLE dead_letters (
    tenant_id     text COLLATE "C" NOT NULL,
    list          text COLLATE "C" NOT NULL,
    id            uuid NOT NULL,
    function_name text COLLATE "C",
    error_type    text,
    added_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, list, id)
);
-- Retention finds the entries of what it deletes.
CREATE INDEX ix_dead_letters_invocation ON dead_letters (tenant_id, id);

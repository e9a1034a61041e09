-- What is enqueued at due times. next_at alone says whether a schedule is due; it is null while there is no next time.
CREATE TABLE schedules (
    tenant_id          TEXT    NOT NULL,
    id                 TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    expression         TEXT,
    rate_ms            INTEGER,
    time_zone          TEXT    NOT NULL,
    function_name      TEXT,
    qualifier          TEXT,
    payload_json       TEXT,
    job_json           TEXT,
    enabled            INTEGER NOT NULL,
    missed_runs        TEXT    NOT NULL,
    next_at            INTEGER,
    last_at            INTEGER,
    last_invocation_id TEXT,
    last_error         TEXT,
    revision_id        TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX ux_schedules_name ON schedules (tenant_id, name);
CREATE INDEX ix_schedules_due ON schedules (next_at);

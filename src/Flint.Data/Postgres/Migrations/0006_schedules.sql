-- What is enqueued at due times. next_at alone says whether a schedule is due; it is null while there is no next time.
CREATE TABLE schedules (
    tenant_id          text COLLATE "C" NOT NULL,
    id                 text COLLATE "C" NOT NULL,
    name               text COLLATE "C" NOT NULL,
    description        text NOT NULL,
    expression         text,
    rate_ms            bigint,
    time_zone          text NOT NULL,
    function_name      text COLLATE "C",
    qualifier          text,
    payload_json       text,
    job_json           text,
    enabled            boolean NOT NULL,
    missed_runs        text NOT NULL,
    next_at            timestamptz,
    last_at            timestamptz,
    last_invocation_id text,
    last_error         text,
    revision_id        text NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX ux_schedules_name ON schedules (tenant_id, name);
CREATE INDEX ix_schedules_due ON schedules (next_at);

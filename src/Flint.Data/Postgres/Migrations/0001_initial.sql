-- Keys and names compare by bytes (COLLATE "C"), as in SQLite. Invocation ids are UUIDs version 7, so that key order is creation order.

CREATE TABLE code_blobs (
    tenant_id   text COLLATE "C" NOT NULL,
    sha256      text COLLATE "C" NOT NULL,
    size_bytes  bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);

CREATE TABLE functions (
    tenant_id        text COLLATE "C" NOT NULL,
    id               text COLLATE "C" NOT NULL,
    name             text COLLATE "C" NOT NULL,
    runtime          text NOT NULL,
    handler          text NOT NULL,
    description      text NOT NULL,
    memory_mb        integer NOT NULL,
    timeout_ms       integer NOT NULL,
    tmp_mb           integer NOT NULL,
    environment_json text NOT NULL,
    freshness        text NOT NULL,
    engine           text NOT NULL,
    on_disconnect    text NOT NULL,
    history          text NOT NULL,
    code_sha256      text COLLATE "C" NOT NULL,
    code_size_bytes  bigint NOT NULL,
    revision_id      text NOT NULL,
    last_version     integer NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
);
CREATE UNIQUE INDEX ux_functions_name ON functions (tenant_id, name);
CREATE INDEX ix_functions_code ON functions (tenant_id, code_sha256);

CREATE TABLE function_versions (
    tenant_id        text COLLATE "C" NOT NULL,
    function_id      text COLLATE "C" NOT NULL,
    number           integer NOT NULL,
    runtime          text NOT NULL,
    handler          text NOT NULL,
    description      text NOT NULL,
    memory_mb        integer NOT NULL,
    timeout_ms       integer NOT NULL,
    tmp_mb           integer NOT NULL,
    environment_json text NOT NULL,
    freshness        text NOT NULL,
    engine           text NOT NULL,
    on_disconnect    text NOT NULL,
    history          text NOT NULL,
    code_sha256      text COLLATE "C" NOT NULL,
    code_size_bytes  bigint NOT NULL,
    revision_id      text NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, function_id, number),
    FOREIGN KEY (tenant_id, function_id) REFERENCES functions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
);
CREATE INDEX ix_function_versions_code ON function_versions (tenant_id, code_sha256);

CREATE TABLE aliases (
    tenant_id      text COLLATE "C" NOT NULL,
    function_id    text COLLATE "C" NOT NULL,
    name           text COLLATE "C" NOT NULL,
    version_number integer NOT NULL,
    description    text NOT NULL,
    revision_id    text NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, function_id, name),
    FOREIGN KEY (tenant_id, function_id) REFERENCES functions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, function_id, version_number) REFERENCES function_versions (tenant_id, function_id, number)
);
CREATE INDEX ix_aliases_version ON aliases (tenant_id, function_id, version_number);

-- Narrow: what is listed, and what a queue updates often.
-- function_id, function_name and version are null for code that was submitted with its invocation.
CREATE TABLE invocations (
    tenant_id         text COLLATE "C" NOT NULL,
    id                uuid NOT NULL,
    status            text COLLATE "C" NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    mode              text NOT NULL,
    function_id       text COLLATE "C",
    function_name     text COLLATE "C",
    version           text,
    qualifier         text,
    error_type        text,
    created_at        timestamptz NOT NULL,
    started_at        timestamptz,
    completed_at      timestamptz,
    duration_ms       double precision,
    init_duration_ms  double precision,
    billed_ms         bigint,
    memory_mb         integer NOT NULL,
    peak_memory_bytes bigint,
    cold_start        boolean,
    engine            text,
    sandbox_id        text,
    unenforced        text,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_invocations_function ON invocations (tenant_id, function_name, id);
-- Nearly all rows end as COMPLETED: listing those walks the key, and they cost no entry here.
CREATE INDEX ix_invocations_status ON invocations (tenant_id, status, id) WHERE status <> 'COMPLETED';

-- Cold: written once, read one at a time. Small columns first, so that a list need not read past a large payload.
CREATE TABLE invocation_data (
    tenant_id         text COLLATE "C" NOT NULL,
    id                uuid NOT NULL,
    error             text,
    log_dropped_lines bigint NOT NULL,
    log_dropped_bytes bigint NOT NULL,
    payload           bytea,
    result            bytea,
    log               bytea,
    PRIMARY KEY (tenant_id, id)
);

-- Code packages themselves: every server reaches them here. Zips do not compress again.
CREATE TABLE code_blob_data (
    tenant_id   text COLLATE "C" NOT NULL,
    sha256      text COLLATE "C" NOT NULL,
    content     bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
ALTER TABLE code_blob_data ALTER COLUMN content SET STORAGE EXTERNAL;

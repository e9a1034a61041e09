-- Times are unix milliseconds. Invocation ids are the 16 bytes of a UUID version 7, so that key order is creation order.

CREATE TABLE code_blobs (
    tenant_id   TEXT    NOT NULL,
    sha256      TEXT    NOT NULL,
    size_bytes  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
) STRICT;

CREATE TABLE functions (
    tenant_id        TEXT    NOT NULL,
    id               TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    runtime          TEXT    NOT NULL,
    handler          TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    memory_mb        INTEGER NOT NULL,
    timeout_ms       INTEGER NOT NULL,
    tmp_mb           INTEGER NOT NULL,
    environment_json TEXT    NOT NULL,
    freshness        TEXT    NOT NULL,
    engine           TEXT    NOT NULL,
    on_disconnect    TEXT    NOT NULL,
    history          TEXT    NOT NULL,
    code_sha256      TEXT    NOT NULL,
    code_size_bytes  INTEGER NOT NULL,
    revision_id      TEXT    NOT NULL,
    last_version     INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
) STRICT;
CREATE UNIQUE INDEX ux_functions_name ON functions (tenant_id, name);
CREATE INDEX ix_functions_code ON functions (tenant_id, code_sha256);

CREATE TABLE function_versions (
    tenant_id        TEXT    NOT NULL,
    function_id      TEXT    NOT NULL,
    number           INTEGER NOT NULL,
    runtime          TEXT    NOT NULL,
    handler          TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    memory_mb        INTEGER NOT NULL,
    timeout_ms       INTEGER NOT NULL,
    tmp_mb           INTEGER NOT NULL,
    environment_json TEXT    NOT NULL,
    freshness        TEXT    NOT NULL,
    engine           TEXT    NOT NULL,
    on_disconnect    TEXT    NOT NULL,
    history          TEXT    NOT NULL,
    code_sha256      TEXT    NOT NULL,
    code_size_bytes  INTEGER NOT NULL,
    revision_id      TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, function_id, number),
    FOREIGN KEY (tenant_id, function_id) REFERENCES functions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
) STRICT;
CREATE INDEX ix_function_versions_code ON function_versions (tenant_id, code_sha256);

CREATE TABLE aliases (
    tenant_id      TEXT    NOT NULL,
    function_id    TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    version_number INTEGER NOT NULL,
    description    TEXT    NOT NULL,
    revision_id    TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, function_id, name),
    FOREIGN KEY (tenant_id, function_id) REFERENCES functions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, function_id, version_number) REFERENCES function_versions (tenant_id, function_id, number)
) STRICT;
CREATE INDEX ix_aliases_version ON aliases (tenant_id, function_id, version_number);

-- Narrow: what is listed, and what a queue updates often. The clustered key spares a second tree per insert.
-- function_id, function_name and version are null for code that was submitted with its invocation.
CREATE TABLE invocations (
    tenant_id         TEXT    NOT NULL,
    id                BLOB    NOT NULL CHECK (length(id) = 16),
    status            TEXT    NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    mode              TEXT    NOT NULL,
    function_id       TEXT,
    function_name     TEXT,
    version           TEXT,
    qualifier         TEXT,
    error_type        TEXT,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    completed_at      INTEGER,
    duration_ms       REAL,
    init_duration_ms  REAL,
    billed_ms         INTEGER,
    memory_mb         INTEGER NOT NULL,
    peak_memory_bytes INTEGER,
    cold_start        INTEGER,
    engine            TEXT,
    sandbox_id        TEXT,
    unenforced        TEXT,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ix_invocations_function ON invocations (tenant_id, function_name, id);
-- Nearly all rows end as COMPLETED: listing those walks the key, and they cost no entry here.
CREATE INDEX ix_invocations_status ON invocations (tenant_id, status, id) WHERE status <> 'COMPLETED';

-- Cold: written once, read one at a time. Small columns first, so that a list need not read past a large payload.
CREATE TABLE invocation_data (
    tenant_id         TEXT    NOT NULL,
    id                BLOB    NOT NULL,
    error             TEXT,
    log_dropped_lines INTEGER NOT NULL,
    log_dropped_bytes INTEGER NOT NULL,
    payload           BLOB,
    result            BLOB,
    log               BLOB,
    PRIMARY KEY (tenant_id, id)
) STRICT;

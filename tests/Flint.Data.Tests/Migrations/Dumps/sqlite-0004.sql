-- A database as the fourth schema left it, with data. Upgraded by a test; never changed.
BEGIN TRANSACTION;
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
INSERT INTO "aliases" VALUES('default','019ca8f4-0000-7000-8000-00000000000a','live',2,'','a1',1772366400000,1772366400000);
INSERT INTO "aliases" VALUES('other','019ca8f4-0000-7000-8000-00000000000a','live',2,'','a1',1772366400000,1772366400000);
CREATE TABLE code_blobs (
    tenant_id   TEXT    NOT NULL,
    sha256      TEXT    NOT NULL,
    size_bytes  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
) STRICT;
INSERT INTO "code_blobs" VALUES('default','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,1772366400000);
INSERT INTO "code_blobs" VALUES('other','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,1772366400000);
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
    created_at       INTEGER NOT NULL, start TEXT NOT NULL DEFAULT 'zygote', network TEXT NOT NULL DEFAULT 'none',
    PRIMARY KEY (tenant_id, function_id, number),
    FOREIGN KEY (tenant_id, function_id) REFERENCES functions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
) STRICT;
INSERT INTO "function_versions" VALUES('default','019ca8f4-0000-7000-8000-00000000000a',1,'python3.11','main.handler','',128,3000,512,'{}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'v1',1772366400000,'zygote','none');
INSERT INTO "function_versions" VALUES('default','019ca8f4-0000-7000-8000-00000000000a',2,'python3.11','main.handler','',128,3000,512,'{}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'v2',1772366400000,'zygote','none');
INSERT INTO "function_versions" VALUES('other','019ca8f4-0000-7000-8000-00000000000a',1,'python3.11','main.handler','',128,3000,512,'{}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'v1',1772366400000,'zygote','none');
INSERT INTO "function_versions" VALUES('other','019ca8f4-0000-7000-8000-00000000000a',2,'python3.11','main.handler','',128,3000,512,'{}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'v2',1772366400000,'zygote','none');
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
    updated_at       INTEGER NOT NULL, start TEXT NOT NULL DEFAULT 'zygote', network TEXT NOT NULL DEFAULT 'none',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, code_sha256) REFERENCES code_blobs (tenant_id, sha256)
) STRICT;
INSERT INTO "functions" VALUES('default','019ca8f4-0000-7000-8000-00000000000a','hello','python3.11','main.handler','it''s é',128,3000,512,'{"A":"1"}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'r1',2,1772366400000,1772366400001,'zygote','none');
INSERT INTO "functions" VALUES('other','019ca8f4-0000-7000-8000-00000000000a','hello','python3.11','main.handler','it''s é',128,3000,512,'{"A":"1"}','warm','native','continue','buffered','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',10,'r1',2,1772366400000,1772366400001,'zygote','none');
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
INSERT INTO "invocation_data" VALUES('default',X'019CA9450A0070008000000000000000',NULL,0,0,X'7B7D',X'74727565',NULL);
INSERT INTO "invocation_data" VALUES('default',X'019CA9450A0170008000000000000001','{}',0,0,X'7B7D',X'74727565',NULL);
INSERT INTO "invocation_data" VALUES('default',X'019CA9450A0270008000000000000002',NULL,0,0,X'7B7D',X'74727565',NULL);
INSERT INTO "invocation_data" VALUES('default',X'019CA9450A0370008000000000000003',NULL,0,0,X'7B7D',X'74727565',NULL);
CREATE TABLE invocation_totals (
    tenant_id  TEXT    NOT NULL PRIMARY KEY,
    data_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "invocation_totals" VALUES('default',26);
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
    unenforced        TEXT, data_bytes INTEGER NOT NULL DEFAULT 0, start_mode TEXT, start_reason TEXT,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "invocations" VALUES('default',X'019CA9450A0070008000000000000000','COMPLETED','sync','019ca8f4-0000-7000-8000-00000000000a','hello','$LATEST',NULL,NULL,1772366400000,1772366400000,1772366400005,5.5,NULL,6,128,1000,1,'native','s-1',NULL,6,NULL,NULL);
INSERT INTO "invocations" VALUES('default',X'019CA9450A0170008000000000000001','FAILED','sync','019ca8f4-0000-7000-8000-00000000000a','hello','$LATEST',NULL,'Unhandled',1772366400001,1772366400001,1772366400006,5.5,NULL,6,128,1000,0,'native','s-1',NULL,8,NULL,NULL);
INSERT INTO "invocations" VALUES('default',X'019CA9450A0270008000000000000002','COMPLETED','sync','019ca8f4-0000-7000-8000-00000000000a','hello','$LATEST',NULL,NULL,1772366400002,1772366400002,1772366400007,5.5,NULL,6,128,1000,0,'native','s-1',NULL,6,NULL,NULL);
INSERT INTO "invocations" VALUES('default',X'019CA9450A0370008000000000000003','COMPLETED','sync','019ca8f4-0000-7000-8000-00000000000a','hello','$LATEST',NULL,NULL,1772366400003,1772366400003,1772366400008,5.5,NULL,6,128,1000,0,'native','s-1',NULL,6,NULL,NULL);
CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;
INSERT INTO "schema_version" VALUES(1,'0001_initial','0c930a9a1d85c5838f80512aa3a05f79708b67bada8f62ee05a7f746e15f8d23',1772366400000);
INSERT INTO "schema_version" VALUES(2,'0002_cold_start_index','cfae9c12834f865deb934b235b19a2c2083868cc501b37862cef0500d491a520',1772366400000);
INSERT INTO "schema_version" VALUES(3,'0003_data_bytes','8d4c135067674c78743b306882e5c3edc86d4518b9f0014c40c98aa9c02b242f',1772366400000);
INSERT INTO "schema_version" VALUES(4,'0004_start_and_network','db56becb6e9264f3032ccd4822c2e2e95d339126488c0ec09a68a0b3148cbc97',1772366400000);
CREATE UNIQUE INDEX ux_functions_name ON functions (tenant_id, name);
CREATE INDEX ix_functions_code ON functions (tenant_id, code_sha256);
CREATE INDEX ix_function_versions_code ON function_versions (tenant_id, code_sha256);
CREATE INDEX ix_aliases_version ON aliases (tenant_id, function_id, version_number);
CREATE INDEX ix_invocations_cold ON invocations (tenant_id, id) WHERE cold_start = TRUE;
CREATE INDEX ix_invocations_function ON invocations (tenant_id, function_name, id);
CREATE INDEX ix_invocations_status ON invocations (tenant_id, status, id) WHERE status <> 'COMPLETED';
COMMIT;

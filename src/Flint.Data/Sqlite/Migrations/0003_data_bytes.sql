-- The size of each record's cold part, and its sum per tenant, so that a limit in bytes costs no scan. Sizes of existing records are computed
-- here, from the lengths alone: no payload is read.
ALTER TABLE invocations ADD COLUMN data_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE invocations SET data_bytes = d.bytes
FROM (
    SELECT tenant_id, id, coalesce(octet_length(error), 0) + coalesce(octet_length(payload), 0) + coalesce(octet_length(result), 0)
        + coalesce(octet_length(log), 0) AS bytes
    FROM invocation_data) d
WHERE d.tenant_id = invocations.tenant_id AND d.id = invocations.id;

CREATE TABLE invocation_totals (
    tenant_id  TEXT    NOT NULL PRIMARY KEY,
    data_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO invocation_totals SELECT tenant_id, sum(data_bytes) FROM invocations GROUP BY tenant_id;

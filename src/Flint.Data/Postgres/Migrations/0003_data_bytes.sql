-- The size of each record's cold part, and its sum per tenant, so that a limit in bytes costs no scan. Sizes of existing records are computed
-- here, from the lengths alone: no payload is read.
ALTER TABLE invocations ADD COLUMN data_bytes bigint NOT NULL DEFAULT 0;
UPDATE invocations SET data_bytes = d.bytes
FROM (
    SELECT tenant_id, id, coalesce(octet_length(error), 0)::bigint + coalesce(octet_length(payload), 0) + coalesce(octet_length(result), 0)
        + coalesce(octet_length(log), 0) AS bytes
    FROM invocation_data) d
WHERE d.tenant_id = invocations.tenant_id AND d.id = invocations.id;

-- One row per tenant that every batch updates: room on its page keeps the update out of the index.
CREATE TABLE invocation_totals (
    tenant_id  text COLLATE "C" NOT NULL PRIMARY KEY,
    data_bytes bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO invocation_totals SELECT tenant_id, sum(data_bytes)::bigint FROM invocations GROUP BY tenant_id;

-- Cold starts are the rows most worth finding and, among warm functions, the rarest.
CREATE INDEX ix_invocations_cold ON invocations (tenant_id, id) WHERE cold_start = TRUE;

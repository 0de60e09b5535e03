-- What is wrong now is found without a look at what is well: each of these indexes has the rows in trouble alone. And when
-- a backup was last handed over whole.
-- oldest code: 8
CREATE INDEX IF NOT EXISTS turns_failing ON turns (failing_since) WHERE failing_since IS NOT NULL;
CREATE INDEX IF NOT EXISTS endpoints_stopped ON endpoints (state_since) WHERE state <> 'enabled';
CREATE INDEX IF NOT EXISTS payments_given_back ON payments (updated_at) WHERE status = 'given_back';
CREATE INDEX IF NOT EXISTS tokens_that_end ON tokens (expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE heartbeat ADD COLUMN backed_up_at bigint;

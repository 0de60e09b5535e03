-- A secret that leaves for a destination has its origin in its seal, and endpoints' extra headers are sealed: the
-- column keeps their names. SQL has no keys, so the next start seals what is there (proxy/merchants/setup/binding.py) and says so
-- here; once it has, a secret that was sealed for no origin does not open. Older code opens none of the new ones.
ALTER TABLE heartbeat ADD COLUMN secrets_bound_at bigint;
UPDATE endpoints SET headers = '[]' WHERE headers = '{}';

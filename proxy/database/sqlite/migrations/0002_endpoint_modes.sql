-- An endpoint gets the events of live payments or of test payments, never both. What was there before is live.
-- oldest code: 1
ALTER TABLE endpoints ADD COLUMN mode TEXT NOT NULL DEFAULT 'live';

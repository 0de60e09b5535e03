-- The signing keys before the one before, as JSON: [[number, until when it signs], …], newest first.
-- oldest code: 4
ALTER TABLE endpoints ADD COLUMN older_keys text NOT NULL DEFAULT '[]';

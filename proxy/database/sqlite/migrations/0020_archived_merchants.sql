-- When a merchant was archived, and the ways beyond the first in which customers reach it: code from before knows neither,
-- takes payments of an archived merchant, and shows the first contact alone.
-- oldest code: 8
ALTER TABLE merchants ADD COLUMN archived_at INTEGER;
ALTER TABLE merchants ADD COLUMN more_contacts TEXT;

-- The time that retention goes by, which follows a clock that jumped ahead no faster than time passes.
-- oldest code: 8
ALTER TABLE heartbeat ADD COLUMN settled_at INTEGER;

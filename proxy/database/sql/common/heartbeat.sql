-- name: last_heartbeat
-- When the database was last seen to be written.
SELECT at, settled_at FROM heartbeat WHERE id = $1;

-- name: ping
-- A small write, to see whether writing works; with it, where it is known, the time that retention goes by.
UPDATE heartbeat SET at = CASE WHEN CAST($2 AS bigint) IS NULL AND at > $1 THEN at ELSE $1 END,
    settled_at = coalesce(CAST($2 AS bigint), settled_at) WHERE id = 1;

-- name: note_backup
-- A backup was handed over whole.
UPDATE heartbeat SET backed_up_at = $1 WHERE id = 1;

-- name: last_backup
-- When that was last, if it ever was.
SELECT backed_up_at FROM heartbeat WHERE id = $1;

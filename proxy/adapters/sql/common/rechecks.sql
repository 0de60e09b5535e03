-- name: insert_recheck
-- A walk that a restore asks for; one a millisecond.
INSERT INTO rechecks (noted_at, moment, due_at, reached, unclear) VALUES ($1, $2, $3, NULL, 0)
ON CONFLICT (noted_at) DO NOTHING;

-- name: first_recheck
-- The oldest walk.
SELECT noted_at, moment, due_at, reached, unclear FROM rechecks WHERE noted_at > $1 ORDER BY noted_at LIMIT 1;

-- name: save_recheck
-- Moves a walk on, if it is still as it was read.
UPDATE rechecks SET due_at = $3, reached = $4, unclear = $5 WHERE noted_at = $1 AND due_at = $2;

-- name: end_recheck
-- Ends a walk, if it is still as it was read.
DELETE FROM rechecks WHERE noted_at = $1 AND due_at = $2;

-- name: last_heartbeat
-- When the database was last seen to be written.
SELECT at FROM heartbeat WHERE id = $1;

-- name: skip_sequence_numbers
-- Has every merchant's events go on behind numbers that were perhaps told of before a restore.
UPDATE event_sequences SET last = last + $1 WHERE merchant_id > '';

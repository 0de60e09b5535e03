-- name: insert_watch
-- Begins a watch; no row when the payment has one.
INSERT INTO watches (merchant_id, payment_id, terminal_id, due_at, soon, version, point)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (merchant_id, payment_id) DO NOTHING;

-- name: update_watch
-- Moves a watch on, if it is still as it was read.
UPDATE watches SET due_at = $4, soon = $5, version = $6, point = $7
WHERE merchant_id = $1 AND payment_id = $2 AND version = $3;

-- name: end_watch
-- Ends a watch, whatever became of it.
DELETE FROM watches WHERE merchant_id = $1 AND payment_id = $2;

-- name: end_watch_as_read
-- Ends a watch, if it is still as it was read.
DELETE FROM watches WHERE merchant_id = $1 AND payment_id = $2 AND version = $3;

-- name: watch
-- A payment's watch.
SELECT merchant_id, payment_id, terminal_id, due_at, soon, version, point FROM watches
WHERE merchant_id = $1 AND payment_id = $2;

-- name: next_check_at
-- When the earliest watch is due.
SELECT min(due_at) FROM watches;

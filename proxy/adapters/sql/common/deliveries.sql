-- name: insert_delivery
-- An event on its way to an endpoint, due at once.
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at
)
VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, $6, $6);

-- name: begin_turns
-- Puts an endpoint that became enabled among those that are served.
INSERT INTO turns (merchant_id, endpoint_id, due_at, served_at) VALUES ($1, $2, NULL, 0)
ON CONFLICT (merchant_id, endpoint_id) DO NOTHING;

-- name: end_turns
-- Takes an endpoint from those that are served; what is due there is held.
DELETE FROM turns WHERE merchant_id = $1 AND endpoint_id = $2;

-- name: next_delivery_at
-- When the earliest delivery of an enabled endpoint is due.
SELECT min(due_at) FROM turns WHERE due_at IS NOT NULL;

-- name: take_delivery
-- Gives a delivery to a claim: counts the attempt, and is due again when the lease is over.
UPDATE deliveries SET attempts = attempts + 1, due_at = $3, token = $4 WHERE merchant_id = $1 AND id = $2;

-- name: begin_attempt
-- An attempt whose outcome stays unknown unless it is recorded.
INSERT INTO attempts (merchant_id, delivery_id, number, endpoint_id, started_at, outcome, excerpt)
VALUES ($1, $2, $3, $4, $5, 'unknown', $6);

-- name: record_delivery
-- A delivery's state after an attempt, if the claim is still current. One that was asked for again while it was on its
-- way (scheduled_from has come up to attempts) is due at once, whatever came of this attempt.
UPDATE deliveries SET
    status = CASE WHEN scheduled_from = attempts THEN 'pending' ELSE $5 END,
    due_at = CASE WHEN scheduled_from = attempts THEN CAST($8 AS bigint) ELSE CAST($6 AS bigint) END,
    delivered_at = CASE WHEN scheduled_from = attempts THEN NULL ELSE CAST($7 AS bigint) END,
    token = NULL
WHERE merchant_id = $1 AND id = $2 AND token = $3 AND attempts = $4;

-- name: record_attempt
-- What came of an attempt.
UPDATE attempts SET started_at = $4, duration_ms = $5, outcome = $6, status = $7, error = $8, excerpt = $9
WHERE merchant_id = $1 AND delivery_id = $2 AND number = $3;

-- name: release_delivery
-- Gives a claimed delivery back, due at once and not counted, if the claim is still current.
UPDATE deliveries SET
    attempts = attempts - 1,
    scheduled_from = CASE WHEN scheduled_from < attempts THEN scheduled_from ELSE attempts - 1 END,
    due_at = $5, token = NULL
WHERE merchant_id = $1 AND id = $2 AND token = $3 AND attempts = $4;

-- name: forget_attempt
-- Removes an attempt that was claimed and never started.
DELETE FROM attempts WHERE merchant_id = $1 AND delivery_id = $2 AND number = $3;

-- name: drop_deliveries
-- Ends what was still to be delivered to an endpoint that is no more.
UPDATE deliveries SET status = 'dropped', due_at = NULL, token = NULL
WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL;

-- name: list_deliveries
-- An event's deliveries, in id order.
SELECT id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at, created_at, delivered_at
FROM deliveries WHERE merchant_id = $1 AND event_id = $2 ORDER BY id;

-- name: list_attempts
-- A delivery's attempts, in order.
SELECT number, started_at, duration_ms, outcome, status, error, excerpt
FROM attempts WHERE merchant_id = $1 AND delivery_id = $2 ORDER BY number;

-- name: insert_delivery
-- An event on its way to an endpoint, due at once. It is kept with its event.
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at,
    part
)
VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, $6, $6, $7);

-- name: turns_of_merchant
-- A merchant's endpoints in id order, each with its turn, if it was ever enabled, as turn_of_endpoint gives it.
SELECT t.failures, t.failing_since, t.paused_until, t.served_at, t.held, t.in_flight, t.due_at, {e.endpoint}
FROM endpoints AS e LEFT JOIN turns AS t ON t.merchant_id = e.merchant_id AND t.endpoint_id = e.id
WHERE e.merchant_id = $1 ORDER BY e.id LIMIT $2;

-- name: begin_turns
-- Puts an endpoint that became enabled among those that are served, as if it had never failed.
INSERT INTO turns (merchant_id, endpoint_id, due_at, served_at, failures, failing_since, paused_until, held, in_flight)
VALUES ($1, $2, NULL, 0, 0, NULL, 0, 0, '{}')
ON CONFLICT (merchant_id, endpoint_id) DO UPDATE SET held = 0, failures = 0, failing_since = NULL, paused_until = 0;

-- name: hold_turns
-- Takes an endpoint from those that are served: what is due there is held, what is on its way may still land.
UPDATE turns SET due_at = NULL, held = 1, failures = 0, failing_since = NULL, paused_until = 0
WHERE merchant_id = $1 AND endpoint_id = $2;

-- name: end_turns
-- Forgets the turns of an endpoint that is no more.
DELETE FROM turns WHERE merchant_id = $1 AND endpoint_id = $2;

-- name: settle_turn
-- When an endpoint is served next, how it has been answering, when it was served, and what is on its way there.
UPDATE turns SET
    due_at = $3, failures = $4, failing_since = $5, paused_until = $6, served_at = $7, in_flight = $8
WHERE merchant_id = $1 AND endpoint_id = $2;

-- name: turn
-- How an endpoint has been answering, whether it is served, and what is on its way there.
SELECT failures, failing_since, paused_until, held, in_flight FROM turns WHERE merchant_id = $1 AND endpoint_id = $2;

-- name: call_turn
-- Lets an enabled endpoint's turn come at $3, before all others, although it is paused: for what a person sends again.
UPDATE turns SET due_at = $3
WHERE merchant_id = $1 AND endpoint_id = $2 AND held = 0 AND (due_at IS NULL OR due_at > $3);

-- name: oldest_due_times
-- When the oldest deliveries at an endpoint are due, those on their way among them.
SELECT due_at, id FROM deliveries
WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL ORDER BY due_at LIMIT $3;

-- name: next_delivery_at
-- When the earliest delivery of an enabled endpoint is due.
SELECT min(due_at) FROM turns WHERE due_at IS NOT NULL;

-- name: lose_attempt
-- An attempt whose outcome will not be known.
INSERT INTO attempts (merchant_id, delivery_id, number, endpoint_id, started_at, outcome, excerpt, part)
VALUES ($1, $2, $3, $4, $5, 'unknown', $6, $7);

-- name: count_attempt
-- Counts such an attempt.
UPDATE deliveries SET attempts = attempts + 1 WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0);

-- name: record_delivery
-- A delivery's state after an attempt. One that was asked for again while it was on its way (scheduled_from is one ahead)
-- is due at once, which is $6, whatever came of this attempt.
UPDATE deliveries SET
    attempts = attempts + 1,
    status = CASE WHEN scheduled_from > attempts THEN 'pending' ELSE $3 END,
    due_at = CASE WHEN scheduled_from > attempts THEN CAST($6 AS bigint) ELSE CAST($4 AS bigint) END,
    delivered_at = CASE WHEN scheduled_from > attempts THEN NULL ELSE CAST($5 AS bigint) END
WHERE merchant_id = $1 AND id = $2 AND part IN ($7, 0);

-- name: record_attempt
-- What came of an attempt.
INSERT INTO attempts (
    merchant_id, delivery_id, number, endpoint_id, started_at, duration_ms, outcome, status, error, excerpt, part
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: release_delivery
-- Gives back what was claimed and not started: it is due still, and if it was asked for again meanwhile, that is it.
UPDATE deliveries SET scheduled_from = attempts
WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0) AND scheduled_from > attempts;

-- name: refuse_delivery
-- Ends a delivery whose event is not for its endpoint, with the attempt that says so.
UPDATE deliveries SET attempts = attempts + 1, status = 'dropped', due_at = NULL
WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0);

-- name: drop_deliveries
-- Ends what was still to be delivered to an endpoint that is no more.
UPDATE deliveries SET status = 'dropped', due_at = NULL
WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL;

-- name: list_deliveries
-- An event's deliveries, in id order, each with what is on its way to its endpoint.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, e.storefront, e.mode, t.in_flight
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
    LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
WHERE d.merchant_id = $1 AND d.event_id = $2 AND d.part IN ($3, 0) AND e.part IN ($3, 0) ORDER BY d.id LIMIT 1000;

-- name: list_attempts
-- A delivery's newest attempts, newest first; none is of a period before the delivery's.
SELECT number, started_at, duration_ms, outcome, status, error, excerpt
FROM attempts WHERE merchant_id = $1 AND delivery_id = $2 AND (part >= $3 OR part = 0) ORDER BY number DESC LIMIT $4;

-- name: waiting_deliveries
-- What waits at an endpoint and is due later than a time.
SELECT id, attempts, scheduled_from, due_at FROM deliveries
WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at > $3 ORDER BY due_at LIMIT $4;

-- name: pull_in_delivery
-- Has a delivery due sooner, if it still is due when it was.
UPDATE deliveries SET due_at = $5 WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0) AND due_at = $4;

-- name: due_turns
-- The enabled endpoints whose turn it is, those that wait longest first, but for some merchants'.
SELECT merchant_id, endpoint_id FROM turns
WHERE due_at <= $1 AND merchant_id NOT IN (SELECT value FROM json_each($3))
ORDER BY due_at LIMIT $2;

-- name: hasten_turn
-- Lets an enabled endpoint's turn come when a new delivery is due, if that is sooner, but not while it is paused.
UPDATE turns SET due_at = max($3, paused_until)
WHERE merchant_id = $1 AND endpoint_id = $2 AND held = 0 AND (due_at IS NULL OR due_at > max($3, paused_until));

-- name: turn_of_endpoint
-- How an endpoint has been answering, whether it is served, what is on its way there, and the endpoint as it is now.
SELECT t.failures, t.failing_since, t.paused_until, t.served_at, t.held, t.in_flight, t.due_at, {e.endpoint}
FROM turns AS t JOIN endpoints AS e ON e.merchant_id = t.merchant_id AND e.id = t.endpoint_id
WHERE t.merchant_id = $1 AND t.endpoint_id = $2;

-- name: oldest_deliveries
-- What is or will be due at an endpoint and is not on its way, oldest first, with the events.
SELECT d.due_at, d.id, d.attempts, d.scheduled_from, e.id, e.merchant_id, e.sequence, e.storefront, e.mode,
    e.type, e.payment_id, e.occurred_at, e.body, e.traceparent
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.due_at IS NOT NULL
    AND d.id NOT IN (SELECT value FROM json_each($4))
ORDER BY d.due_at LIMIT $3;

-- name: endpoints_in_flight
-- Where something is on its way.
SELECT merchant_id, endpoint_id FROM turns WHERE in_flight <> '{}';

-- name: delivery
-- One delivery, with what is on its way to its endpoint.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, e.storefront, e.mode, t.in_flight
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
    LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
WHERE d.merchant_id = $1 AND d.id = $2 AND d.part IN ($3, 0) AND e.part IN ($3, 0);

-- name: list_deliveries_of_endpoint
-- An endpoint's deliveries before an id, newest event first: the first of each status by its index.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, e.storefront, e.mode, t.in_flight
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
    LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
WHERE d.merchant_id = $1 AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND id < $3
        ORDER BY id DESC LIMIT $4
    ) AS pending
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'delivered' AND id < $3
        ORDER BY id DESC LIMIT $4
    ) AS delivered
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'failed' AND id < $3
        ORDER BY id DESC LIMIT $4
    ) AS failed
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'dropped' AND id < $3
        ORDER BY id DESC LIMIT $4
    ) AS dropped
)
ORDER BY d.id DESC LIMIT $4;

-- name: list_deliveries_with_status
-- An endpoint's deliveries in one status before an id, newest event first.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, e.storefront, e.mode, t.in_flight
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
    LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
WHERE d.merchant_id = $1 AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = $5 AND id < $3
        ORDER BY id DESC LIMIT $4
    ) AS page
)
ORDER BY d.id DESC;

-- name: requeue_delivery
-- Makes a delivery due now, with the schedule from its start. For one that is on its way $4 is 1: it goes out again after
-- that attempt, which record_delivery sees.
UPDATE deliveries SET status = 'pending', due_at = $3, scheduled_from = attempts + $4, delivered_at = NULL
WHERE merchant_id = $1 AND id = $2 AND part IN ($5, 0);

-- name: replay_delivery
-- The same for an event and an endpoint, which get a delivery, in the event's part, when they had none.
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at,
    part
)
VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, $6, $6, $8)
ON CONFLICT (merchant_id, event_id, endpoint_id, part) DO UPDATE SET
    status = 'pending', due_at = excluded.due_at, scheduled_from = deliveries.attempts + $7, delivered_at = NULL;

-- name: undelivered_after
-- What did not get through to an endpoint, in id order after one, with the mode and storefront of the events.
SELECT d.id, e.mode, e.storefront
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
WHERE d.merchant_id = $1 AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'failed' AND id > $3
        ORDER BY id LIMIT $4
    ) AS failed
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND id > $3
        ORDER BY id LIMIT $4
    ) AS pending
)
ORDER BY d.id LIMIT $4;

-- name: events_between
-- A merchant's events between two ids, in id order.
SELECT id, storefront, mode, type, payment_id, part FROM events
WHERE merchant_id = $1 AND id > $2 AND id < $3
ORDER BY id LIMIT $4;

-- name: recent_attempts
-- An endpoint's newest finished attempts since a time.
SELECT outcome, duration_ms FROM attempts
WHERE merchant_id = $1 AND endpoint_id = $2 AND started_at >= $3 AND duration_ms IS NOT NULL
ORDER BY started_at DESC LIMIT $4;

-- name: last_attempt
-- The newest finished attempt at an endpoint.
SELECT number, started_at, duration_ms, outcome, status, error, excerpt FROM attempts
WHERE merchant_id = $1 AND endpoint_id = $2 AND duration_ms IS NOT NULL
ORDER BY started_at DESC LIMIT 1;

-- name: backlog
-- How much is still to be delivered to an endpoint, counted up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL ORDER BY due_at LIMIT $3
) AS due;

-- name: oldest_undelivered_at
-- Since when the oldest delivery of an endpoint waits.
SELECT created_at FROM deliveries WHERE merchant_id = $1 AND id = (
    SELECT min(id) FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending'
);

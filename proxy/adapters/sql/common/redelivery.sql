-- name: delivery
-- One delivery, with what is on its way to its endpoint.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, t.in_flight
FROM deliveries AS d LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
WHERE d.merchant_id = $1 AND d.id = $2 AND d.part IN ($3, 0);

-- name: list_deliveries_of_endpoint
-- An endpoint's deliveries before an id, newest event first: the first of each status by its index.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, t.in_flight
FROM deliveries AS d LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
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
    d.delivered_at, t.in_flight
FROM deliveries AS d LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
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
-- What did not get through to an endpoint, in id order after one.
SELECT id FROM deliveries
WHERE merchant_id = $1 AND id IN (
    SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'failed' AND id > $3
        ORDER BY id LIMIT $4
    ) AS failed
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND id > $3
        ORDER BY id LIMIT $4
    ) AS pending
)
ORDER BY id LIMIT $4;

-- name: events_between
-- A merchant's events between two ids, in id order.
SELECT id, storefront, type, payment_id, part FROM events
WHERE merchant_id = $1 AND id > $2 AND id < $3
ORDER BY id LIMIT $4;

-- name: recent_attempts
-- An endpoint's newest finished attempts since a time.
SELECT outcome, duration_ms FROM attempts
WHERE merchant_id = $1 AND endpoint_id = $2 AND started_at >= $3 AND duration_ms IS NOT NULL
ORDER BY started_at DESC LIMIT $4;

-- name: backlog
-- How much is still to be delivered to an endpoint, counted up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL LIMIT $3
) AS due;

-- name: oldest_undelivered_at
-- Since when the oldest delivery of an endpoint waits.
SELECT created_at FROM deliveries WHERE merchant_id = $1 AND id = (
    SELECT min(id) FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending'
);

-- name: last_sequence
-- The number of a merchant's newest event.
SELECT last FROM event_sequences WHERE merchant_id = $1;

-- name: events_window
-- The end of a stretch of events after a sequence, and how many it has.
SELECT max(sequence), count(*) FROM (
    SELECT sequence FROM events WHERE merchant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
) AS stretch;

-- name: list_events_by_delivery
-- Of a stretch of events, those that every endpoint concerned has got, or those that one of them has not or that none
-- was there for.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events AS e
WHERE merchant_id = $1 AND sequence > $2 AND sequence <= $3
    AND (storefront = $5 OR $5 IS NULL OR storefront IS NULL)
    AND (type = $6 OR $6 IS NULL) AND (payment_id = $7 OR $7 IS NULL)
    AND (mode = $9 OR $9 IS NULL OR mode IS NULL)
    AND $8 = coalesce((
        SELECT min(CASE WHEN d.status = 'delivered' THEN 1 ELSE 0 END) FROM deliveries AS d
        WHERE d.merchant_id = e.merchant_id AND d.event_id = e.id AND d.part = e.part
    ), 0)
ORDER BY sequence LIMIT $4;

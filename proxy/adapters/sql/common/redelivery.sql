-- name: delivery
-- One delivery.
SELECT id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at, created_at, delivered_at
FROM deliveries WHERE merchant_id = $1 AND id = $2;

-- name: list_deliveries_of_endpoint
-- An endpoint's deliveries before an id, newest event first: the first of each status by its index.
SELECT id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at, created_at, delivered_at
FROM deliveries
WHERE merchant_id = $1 AND id IN (
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
ORDER BY id DESC LIMIT $4;

-- name: list_deliveries_with_status
-- An endpoint's deliveries in one status before an id, newest event first.
SELECT id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at, created_at, delivered_at
FROM deliveries
WHERE merchant_id = $1 AND endpoint_id = $2 AND status = $5 AND id < $3
ORDER BY id DESC LIMIT $4;

-- name: requeue_delivery
-- Makes a delivery due now, with the schedule from its start. One that is on its way keeps its claim, and goes out again
-- after it: scheduled_from then equals attempts, which record_delivery sees.
UPDATE deliveries SET
    status = 'pending',
    due_at = CASE WHEN token IS NOT NULL AND due_at > $3 THEN due_at ELSE $3 END,
    token = CASE WHEN token IS NOT NULL AND due_at > $3 THEN token END,
    scheduled_from = attempts,
    delivered_at = NULL
WHERE merchant_id = $1 AND id = $2;

-- name: replay_delivery
-- The same for an event and an endpoint, which get a delivery when they had none.
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at
)
VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, $6, $6)
ON CONFLICT (merchant_id, event_id, endpoint_id) DO UPDATE SET
    status = 'pending',
    due_at = CASE
        WHEN deliveries.token IS NOT NULL AND deliveries.due_at > excluded.due_at THEN deliveries.due_at
        ELSE excluded.due_at
    END,
    token = CASE WHEN deliveries.token IS NOT NULL AND deliveries.due_at > excluded.due_at THEN deliveries.token END,
    scheduled_from = deliveries.attempts,
    delivered_at = NULL;

-- name: undelivered_after
-- What did not get through to an endpoint and is not on its way just now, in id order after one. The arithmetic keeps
-- the planner to the index by status, which has the order.
SELECT id FROM deliveries
WHERE merchant_id = $1 AND id IN (
    SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'failed' AND id > $3
        ORDER BY id LIMIT $4
    ) AS failed
    UNION ALL SELECT id FROM (
        SELECT id FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND id > $3
            AND (coalesce(token, '') = '' OR due_at + 0 <= $5)
        ORDER BY id LIMIT $4
    ) AS pending
)
ORDER BY id LIMIT $4;

-- name: events_between
-- A merchant's events between two ids, in id order.
SELECT id, storefront, type, payment_id, occurred_at FROM events
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
SELECT created_at FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND id > ''
ORDER BY id LIMIT 1;

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
        WHERE d.merchant_id = e.merchant_id AND d.event_id = e.id
    ), 0)
ORDER BY sequence LIMIT $4;

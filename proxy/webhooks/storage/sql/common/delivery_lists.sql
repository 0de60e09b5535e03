-- name: newest_deliveries
-- A merchant's newest deliveries between two ids, in some partitions, with what their events are.
SELECT d.id, d.merchant_id, d.endpoint_id, d.status, e.type, e.mode, e.storefront
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
WHERE d.merchant_id = $1 AND (d.part BETWEEN $4 AND $5 OR d.part = 0) AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries
        WHERE merchant_id = $1 AND id > $2 AND id < $3 AND (part BETWEEN $4 AND $5 OR part = 0)
        ORDER BY id DESC LIMIT $6
    ) AS page
)
ORDER BY d.id DESC;

-- name: newest_deliveries_of_endpoint
-- The same of one endpoint in one status.
SELECT d.id, d.merchant_id, d.endpoint_id, d.status, e.type, e.mode, e.storefront
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
WHERE d.merchant_id = $1 AND (d.part BETWEEN $4 AND $5 OR d.part = 0) AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries
        WHERE merchant_id = $1 AND endpoint_id = $7 AND status = $8 AND id > $2 AND id < $3
            AND (part BETWEEN $4 AND $5 OR part = 0)
        ORDER BY id DESC LIMIT $6
    ) AS page
)
ORDER BY d.id DESC;

-- name: newest_attempts
-- The newest attempts at an endpoint that have ended and that began in a span, of the partitions from one on.
SELECT started_at, delivery_id, number, merchant_id, endpoint_id, outcome, status, error, duration_ms FROM attempts
WHERE merchant_id = $1 AND endpoint_id = $2 AND duration_ms IS NOT NULL AND started_at >= $3 AND started_at <= $4
    AND (part >= $5 OR part = 0)
ORDER BY started_at DESC LIMIT $6;

-- name: endpoint_ids
-- The ids of a merchant's endpoints.
SELECT id FROM endpoints WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: delivery_line
-- One delivery as `delivery` gives it, with its event's type and its last attempt, if that has ended.
SELECT d.id, d.merchant_id, d.endpoint_id, d.event_id, d.payment_id, d.status, d.attempts, d.due_at, d.created_at,
    d.delivered_at, e.storefront, e.mode, t.in_flight, e.type, a.status, a.error, a.duration_ms
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
    LEFT JOIN turns AS t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id
    LEFT JOIN attempts AS a ON a.merchant_id = d.merchant_id AND a.delivery_id = d.id AND a.number = d.attempts
        AND (a.part >= $3 OR a.part = 0)
WHERE d.merchant_id = $1 AND d.id = $2 AND d.part IN ($3, 0) AND e.part IN ($3, 0);

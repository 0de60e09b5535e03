-- name: due_watches
-- The first watches that are due, from a time on.
SELECT merchant_id, payment_id, due_at FROM watches WHERE due_at >= $1 AND due_at <= $2 ORDER BY due_at LIMIT $3;

-- name: watched_payments
-- Those that were chosen of them and are due still, with their payments, but for those that somebody else has in hand. The
-- payment is locked too: else a watch that moved on a moment ago would come with its payment as it was before. Each is
-- looked for by its key: a planner would rather read all that is due.
SELECT {found.payment}, found.due_at, found.soon, found.watch_version, found.point
FROM jsonb_array_elements(CAST($2 AS jsonb)) AS chosen CROSS JOIN LATERAL (
    SELECT {p.payment}, w.due_at, w.soon, w.version AS watch_version, w.point
    FROM watches AS w JOIN payments AS p ON p.merchant_id = w.merchant_id AND p.id = w.payment_id
    WHERE w.merchant_id = chosen ->> 0 AND w.payment_id = chosen ->> 1 AND w.due_at <= $1
    FOR NO KEY UPDATE OF w, p SKIP LOCKED
) AS found;

-- name: lease_watch
-- Holds a watch for its claim until the lease is over.
UPDATE watches SET due_at = $3, version = version + 1 WHERE merchant_id = $1 AND payment_id = $2;

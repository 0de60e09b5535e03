-- name: due_watches
-- The first watches that are due, from a time on.
SELECT merchant_id, payment_id, due_at FROM watches WHERE due_at >= $1 AND due_at <= $2 ORDER BY due_at LIMIT $3;

-- name: watched_payments
-- Those that were chosen of them and are due still, with their payments.
SELECT {p.payment}, w.due_at, w.soon, w.version, w.point
FROM json_each($2) AS chosen
CROSS JOIN watches AS w
    ON w.merchant_id = json_extract(chosen.value, '$[0]') AND w.payment_id = json_extract(chosen.value, '$[1]')
CROSS JOIN payments AS p ON p.merchant_id = w.merchant_id AND p.id = w.payment_id
WHERE w.due_at <= $1;

-- name: lease_watch
-- Holds a watch for its claim until the lease is over.
UPDATE watches SET due_at = $3, version = version + 1 WHERE merchant_id = $1 AND payment_id = $2;

-- name: end_request_leases
-- Lets every create that was under way be asked for again: the process that asked is no more. By merchant, which is what
-- the index by status begins with.
UPDATE payments SET lease_until = 0
WHERE merchant_id IN (SELECT id FROM merchants) AND status = 'created' AND lease_until > 0;

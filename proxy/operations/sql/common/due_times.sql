-- name: watches_behind
-- Watches that are due later than a place, in order.
SELECT merchant_id, payment_id, due_at, soon, version, point FROM watches
WHERE due_at >= $1 AND (due_at, merchant_id, payment_id) > ($1, $2, $3) ORDER BY due_at, merchant_id, payment_id LIMIT $4;

-- name: pull_in_watch
-- Makes a watch due, if it still is as it was read, and does not wait for the expiry of a payment without an invoice.
UPDATE watches SET due_at = $5 WHERE merchant_id = $1 AND payment_id = $2 AND due_at = $3 AND version = $4
    AND NOT EXISTS (
        SELECT 1 FROM payments AS p
        WHERE p.merchant_id = $1 AND p.id = $2 AND p.linked_at IS NULL AND p.expires_at = $3
    );

-- name: turns_behind
-- Every endpoint's turn, in order of the keys.
SELECT merchant_id, endpoint_id, due_at, served_at, failing_since, paused_until FROM turns
WHERE (merchant_id, endpoint_id) > ($1, $2) ORDER BY merchant_id, endpoint_id LIMIT $3;

-- name: pull_in_request_leases
-- Ends the leases of creates that are longer than any, by merchant, which is what the index by status begins with.
UPDATE payments SET lease_until = $1
WHERE merchant_id IN (SELECT id FROM merchants) AND status = 'created' AND lease_until > $2;

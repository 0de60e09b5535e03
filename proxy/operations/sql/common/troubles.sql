-- name: failing_endpoints
-- Endpoints that have been failing since before a time, longest first.
SELECT t.merchant_id, t.endpoint_id, e.mode, e.url, t.failing_since, m.archived_at
FROM turns AS t JOIN endpoints AS e ON e.merchant_id = t.merchant_id AND e.id = t.endpoint_id
JOIN merchants AS m ON m.id = t.merchant_id
WHERE t.failing_since <= $1 ORDER BY t.failing_since LIMIT $2;

-- name: failing_of_merchant
-- A merchant's endpoints that have been failing since before a time.
SELECT endpoint_id, failing_since FROM turns WHERE merchant_id = $1 AND failing_since <= $2 LIMIT $3;

-- name: stopped_endpoints
-- Endpoints that are paused or disabled, the last one first.
SELECT e.merchant_id, e.id, e.mode, e.url, e.state_since, m.archived_at, e.state
FROM endpoints AS e JOIN merchants AS m ON m.id = e.merchant_id
WHERE e.state <> 'enabled' AND e.state_since > 0 ORDER BY e.state_since DESC LIMIT $1;

-- name: open_reviews
-- Payments under review that nobody has resolved, of all merchants.
SELECT merchant_id, mode, created_at FROM payments
WHERE merchant_id > '' AND status = 'needs_review' AND review LIKE '%"resolution":null%' LIMIT $1;

-- name: open_reviews_of_merchant
-- Those of a merchant.
SELECT storefront, mode, terminal_id, created_at FROM payments
WHERE merchant_id = $1 AND status = 'needs_review' AND review LIKE '%"resolution":null%' LIMIT $2;

-- name: confirming_payments
-- Payments whose confirm is decided and not answered for.
SELECT p.merchant_id, p.mode, p.gateway, p.intent
FROM confirming_orders AS c JOIN payments AS p ON p.merchant_id = c.merchant_id AND p.id = c.payment_id
WHERE c.merchant_id > '' ORDER BY c.merchant_id, c.storefront, c.mode, c.order_id LIMIT $1;

-- name: given_back_since
-- Payments whose money went back since a time.
SELECT merchant_id, mode, given_back, updated_at FROM payments
WHERE status = 'given_back' AND updated_at >= $1 ORDER BY updated_at DESC LIMIT $2;

-- name: ending_tokens
-- API tokens whose time ends between two times, of merchants that are not archived.
SELECT t.merchant_id, t.id, t.mode, t.expires_at, t.last_used_at
FROM tokens AS t JOIN merchants AS m ON m.id = t.merchant_id
WHERE t.expires_at > $1 AND t.expires_at <= $2 AND t.revoked_at IS NULL AND m.archived_at IS NULL
ORDER BY t.expires_at LIMIT $3;

-- name: guessed_second_factors
-- Second factors with a browser that has had all its guesses since a time, and a living token from before them.
SELECT f.id, f.operator, min(g.since)
FROM second_factors AS f JOIN code_guesses AS g ON g.factor_id = f.id
WHERE g.guesses >= $1 AND g.since > $2 AND EXISTS (
    SELECT 1 FROM operators AS o
    WHERE o.name = f.operator AND o.created_at <= g.since
        AND (o.revoked_at IS NULL OR o.revoked_at > $3) AND (o.expires_at IS NULL OR o.expires_at > $3)
)
GROUP BY f.id, f.operator LIMIT $4;

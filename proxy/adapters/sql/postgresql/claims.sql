-- name: lock_merchant
-- Waits for those who write something of this merchant's, and lets others wait until this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: due_watches
-- The watches that are due, oldest first, with their payments, but for those that somebody else has in hand. The payment
-- is locked too: else a watch that moved on a moment ago would come with its payment as it was before.
SELECT p.merchant_id, p.id, p.storefront, p.terminal_id, p.mode, p.order_id, p.amount_rials, p.currency, p.description,
    p.metadata, p.return_url, p.link, p.expires_at, p.created_at, p.updated_at, p.status, p.version, p.invoice_key,
    p.linked_at, p.spare_invoice_keys, p.captured_invoice_keys, p.bank_code, p.captured_rials, p.paid_at, p.late,
    p.failure, p.review, p.drop_in, w.soon, w.version
FROM watches AS w JOIN payments AS p ON p.merchant_id = w.merchant_id AND p.id = w.payment_id
WHERE w.due_at <= $1
ORDER BY w.due_at LIMIT $2
FOR NO KEY UPDATE OF w, p SKIP LOCKED;

-- name: lease_watch
-- Holds a watch for its claim until the lease is over.
UPDATE watches SET due_at = $3, version = version + 1 WHERE merchant_id = $1 AND payment_id = $2;

-- name: due_turns
-- The enabled endpoints whose turn it is, those that wait longest first, but for those whose merchant somebody else
-- writes something of: the lock that is taken here is lock_merchant's. It is asked for once the rows are chosen.
WITH due AS MATERIALIZED (SELECT merchant_id, endpoint_id FROM turns WHERE due_at <= $1 ORDER BY due_at LIMIT $2)
SELECT merchant_id, endpoint_id FROM due WHERE pg_try_advisory_xact_lock(hashtextextended(merchant_id, 0));

-- name: hasten_turn
-- Lets an enabled endpoint's turn come when a new delivery is due, if that is sooner, but not while it is paused.
UPDATE turns SET due_at = greatest($3, paused_until)
WHERE merchant_id = $1 AND endpoint_id = $2 AND held = 0 AND (due_at IS NULL OR due_at > greatest($3, paused_until));

-- name: turn_of_endpoint
-- How an endpoint has been answering, whether it is served, what is on its way there, and the endpoint as it is now. Who
-- reads it to write it holds its merchant's lock.
SELECT t.failures, t.failing_since, t.paused_until, t.served_at, t.held, t.in_flight, t.due_at,
    e.merchant_id, e.id, e.url, e.storefront, e.event_types, e.description, e.headers, e.state, e.state_reason,
    e.state_since, e.signatures, e.key_number, e.previous_until, e.created_at, e.updated_at
FROM turns AS t JOIN endpoints AS e ON e.merchant_id = t.merchant_id AND e.id = t.endpoint_id
WHERE t.merchant_id = $1 AND t.endpoint_id = $2;

-- name: oldest_deliveries
-- What is or will be due at an endpoint and is not on its way, oldest first, with the events. The page is taken before the
-- events are looked for: else the planner may read all that waits at an endpoint.
SELECT d.due_at, d.id, d.attempts, d.scheduled_from, e.id, e.merchant_id, e.sequence, e.storefront, e.type,
    e.payment_id, e.occurred_at, e.body, e.traceparent
FROM (
    SELECT merchant_id, id, event_id, attempts, scheduled_from, due_at, part FROM deliveries
    WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL
        AND id NOT IN ($4, $5, $6, $7, $8, $9, $10, $11)
    ORDER BY due_at LIMIT $3
) AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
ORDER BY d.due_at;

-- name: open_of_merchant
-- How many of a merchant's newest payments are open, by status, and when the oldest of each was created. An open review
-- is one that nobody has resolved.
SELECT
    (SELECT count(*) FROM (
        SELECT 1 FROM payments WHERE merchant_id = $1 AND status = 'created' ORDER BY id LIMIT $2
    ) AS created),
    (SELECT created_at FROM payments WHERE merchant_id = $1 AND status = 'created' ORDER BY id LIMIT 1),
    (SELECT count(*) FROM (
        SELECT 1 FROM payments WHERE merchant_id = $1 AND status = 'pending' ORDER BY id LIMIT $2
    ) AS pending),
    (SELECT created_at FROM payments WHERE merchant_id = $1 AND status = 'pending' ORDER BY id LIMIT 1),
    (SELECT count(*) FROM (
        SELECT 1 FROM payments
        WHERE merchant_id = $1 AND status = 'needs_review' AND review LIKE '%"resolution":null%' ORDER BY id LIMIT $2
    ) AS reviews),
    (SELECT created_at FROM payments
        WHERE merchant_id = $1 AND status = 'needs_review' AND review LIKE '%"resolution":null%' ORDER BY id LIMIT 1);

-- name: endpoint_states
-- How many of a merchant's endpoints are enabled, paused and disabled.
SELECT
    coalesce(sum(CASE state WHEN 'enabled' THEN 1 ELSE 0 END), 0),
    coalesce(sum(CASE state WHEN 'paused' THEN 1 ELSE 0 END), 0),
    coalesce(sum(CASE state WHEN 'disabled' THEN 1 ELSE 0 END), 0)
FROM endpoints WHERE merchant_id = $1;

-- name: count_watches
-- How many payments are watched, up to a number.
SELECT count(*) FROM (SELECT 1 FROM watches WHERE due_at > 0 ORDER BY due_at LIMIT $1) AS counted;

-- name: count_deliveries
-- How many deliveries wait or are on their way, up to a number.
SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE due_at IS NOT NULL AND merchant_id > ''
    ORDER BY merchant_id, endpoint_id, due_at LIMIT $1
) AS counted;

-- name: audit_paid
-- Of a merchant's newest paid payments after an id: whose bank_code or order is not theirs (the order of one that its
-- shop had reversed may be anybody's), whose amount is another than was captured, of which no check is noted, and of
-- which no event tells.
SELECT
    coalesce(sum(CASE
        WHEN b.payment_id = paid.id AND (o.payment_id = paid.id OR paid.given_back LIKE '%"merchant_reversed"%') THEN 0
        ELSE 1
    END), 0),
    coalesce(sum(CASE WHEN paid.captured_rials = paid.amount_rials THEN 0 ELSE 1 END), 0),
    coalesce(sum(CASE WHEN EXISTS (
        SELECT 1 FROM timeline AS t
        WHERE t.merchant_id = paid.merchant_id AND t.payment_id = paid.id 
            AND t.kind IN ('gateway.check', 'gateway.confirm', 'gateway.settle')
    ) THEN 0 ELSE 1 END), 0),
    coalesce(sum(CASE WHEN EXISTS (
        SELECT 1 FROM events AS e
        WHERE e.merchant_id = paid.merchant_id AND e.payment_id = paid.id AND e.type = 'payment.paid'
    ) THEN 0 ELSE 1 END), 0)
FROM (
    SELECT merchant_id, id, storefront, mode, order_id, amount_rials, captured_rials, bank_code, given_back
    FROM payments WHERE merchant_id = $1 AND status = 'paid' AND id > $2 ORDER BY id DESC LIMIT $3
) AS paid
LEFT JOIN bank_codes AS b ON b.merchant_id = paid.merchant_id AND b.bank_code = paid.bank_code
LEFT JOIN paid_orders AS o ON o.merchant_id = paid.merchant_id AND o.storefront = paid.storefront AND o.mode = paid.mode
    AND o.order_id = paid.order_id;

-- name: audit_pending
-- How many of a merchant's newest pending payments after an id nobody watches.
SELECT count(*) FROM (
    SELECT merchant_id, id FROM payments
    WHERE merchant_id = $1 AND status = 'pending' AND id > $2 ORDER BY id DESC LIMIT $3
) AS pending
WHERE NOT EXISTS (
    SELECT 1 FROM watches AS w WHERE w.merchant_id = pending.merchant_id AND w.payment_id = pending.id
);

-- name: audit_numbers
-- Whether a merchant has an event with a higher number than was given out.
SELECT count(*) FROM event_sequences AS s
WHERE s.merchant_id = $1 AND s.last < (SELECT max(e.sequence) FROM events AS e WHERE e.merchant_id = $1);

-- name: insert_payment
-- A new payment with its intent, unless its idempotency key is known or its order is paid.
INSERT INTO payments (
    merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata, return_url,
    link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in,
    idempotency_key, request_digest, lease_until, traceparent
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32
WHERE NOT EXISTS (SELECT 1 FROM paid_orders WHERE merchant_id = $1 AND storefront = $3 AND mode = $5 AND order_id = $6)
ON CONFLICT (merchant_id, storefront, mode, idempotency_key) DO NOTHING;

-- name: stored_by_key
-- The payment, intent and reply that a storefront stored in a mode under an idempotency key.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in,
    idempotency_key, request_digest, lease_until, reply_status, reply_body
FROM payments
WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND idempotency_key = $4;

-- name: stored_by_id
-- A payment with its intent and reply.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in,
    idempotency_key, request_digest, lease_until, reply_status, reply_body
FROM payments
WHERE merchant_id = $1 AND id = $2;

-- name: lease_request
-- Takes over a create whose lease is over and that has no reply; no row when somebody else has it.
UPDATE payments SET lease_until = $4
WHERE merchant_id = $1 AND id = $2 AND lease_until <= $3 AND reply_status IS NULL;

-- name: update_payment
-- What a transition changes, if the version is still the one that it was decided on. A reply is never replaced.
UPDATE payments SET
    updated_at = $4, status = $5, version = $6, invoice_key = $7, linked_at = $8, spare_invoice_keys = $9,
    captured_invoice_keys = $10, bank_code = $11, captured_rials = $12, paid_at = $13, late = $14, failure = $15,
    review = $16,
    lease_until = CASE WHEN $17 = 1 THEN 0 ELSE lease_until END,
    reply_status = coalesce(reply_status, $18),
    reply_body = coalesce(reply_body, $19)
WHERE merchant_id = $1 AND id = $2 AND version = $3;

-- name: answer_request
-- The end of a create's lease, or its reply, when the payment itself stays as it is.
UPDATE payments SET
    lease_until = CASE WHEN $3 = 1 THEN 0 ELSE lease_until END,
    reply_status = coalesce(reply_status, $4),
    reply_body = coalesce(reply_body, $5)
WHERE merchant_id = $1 AND id = $2;

-- name: payment_by_id
-- One payment.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND id = $2;

-- name: payment_by_link
-- The payment of a pay or return link.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND link = $2;

-- name: watched_by_link
-- The payment of a return link, with its watch where it has one. No join: a planner would rather read all of a
-- merchant's watches.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in,
    (SELECT w.due_at FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id),
    (SELECT w.soon FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id),
    (SELECT w.version FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id)
FROM payments AS p
WHERE merchant_id = $1 AND link = $2;

-- name: list_payments
-- A merchant's payments, newest first, in both modes or one.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND id < $2 AND (mode = $4 OR $4 IS NULL)
ORDER BY id DESC LIMIT $3;

-- name: list_payments_of_storefront
-- A storefront's payments, newest first, in both modes or one: the first of each mode by its index.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND id IN (
    SELECT id FROM (
        SELECT id FROM payments
        WHERE merchant_id = $1 AND storefront = $5 AND mode = 'live' AND id < $2 AND ($4 = 'live' OR $4 IS NULL)
        ORDER BY id DESC LIMIT $3
    ) AS live
    UNION ALL SELECT id FROM (
        SELECT id FROM payments
        WHERE merchant_id = $1 AND storefront = $5 AND mode = 'test' AND id < $2 AND ($4 = 'test' OR $4 IS NULL)
        ORDER BY id DESC LIMIT $3
    ) AS test
)
ORDER BY id DESC LIMIT $3;

-- name: list_payments_with_status
-- A merchant's payments in one status, newest first, in both modes or one, of all storefronts or one.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND status = $6 AND id < $2
    AND (mode = $4 OR $4 IS NULL) AND (storefront = $5 OR $5 IS NULL)
ORDER BY id DESC LIMIT $3;

-- name: list_payments_of_order
-- The payments of an order, newest first, in both modes or one, of all storefronts or one, in any status or one.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND order_id = $7 AND id < $2
    AND (mode = $4 OR $4 IS NULL) AND (storefront = $5 OR $5 IS NULL) AND (status = $6 OR $6 IS NULL)
ORDER BY id DESC LIMIT $3;

-- name: claim_invoice_key
-- Makes an invoice this payment's; no row when it is somebody's already.
INSERT INTO invoice_keys (merchant_id, terminal_id, invoice_key, payment_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (merchant_id, terminal_id, invoice_key) DO NOTHING;

-- name: invoice_key_owner
-- Whose an invoice is.
SELECT payment_id FROM invoice_keys WHERE merchant_id = $1 AND terminal_id = $2 AND invoice_key = $3;

-- name: claim_bank_code
-- Makes a bank's tracking number this payment's; no row when it is somebody's already.
INSERT INTO bank_codes (merchant_id, bank_code, payment_id) VALUES ($1, $2, $3)
ON CONFLICT (merchant_id, bank_code) DO NOTHING;

-- name: bank_code_owner
-- Whose a bank's tracking number is.
SELECT payment_id FROM bank_codes WHERE merchant_id = $1 AND bank_code = $2;

-- name: claim_order
-- Makes an order paid by this payment; no row when it is paid already.
INSERT INTO paid_orders (merchant_id, storefront, mode, order_id, payment_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (merchant_id, storefront, mode, order_id) DO NOTHING;

-- name: order_owner
-- By which payment an order is paid.
SELECT payment_id FROM paid_orders WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND order_id = $4;

-- name: add_entry
-- The next line of a payment's timeline.
INSERT INTO timeline (merchant_id, payment_id, number, at, kind, duration_ms, data)
VALUES (
    $1, $2, 1 + coalesce((SELECT max(number) FROM timeline WHERE merchant_id = $1 AND payment_id = $2), 0), $3, $4, $5, $6
);

-- name: timeline
-- A payment's timeline, newest first.
SELECT at, kind, duration_ms, data FROM timeline WHERE merchant_id = $1 AND payment_id = $2
ORDER BY number DESC LIMIT $3;

-- name: unsettled_after
-- A merchant's payments after an id that may still turn out paid, oldest first: the first of each status by its index.
SELECT merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, description, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, spare_invoice_keys,
    captured_invoice_keys, bank_code, captured_rials, paid_at, late, failure, review, drop_in
FROM payments
WHERE merchant_id = $1 AND id IN (
    SELECT id FROM (
        SELECT id FROM payments WHERE merchant_id = $1 AND status = 'pending' AND id > $2 ORDER BY id LIMIT $3
    ) AS pending
    UNION ALL SELECT id FROM (
        SELECT id FROM payments WHERE merchant_id = $1 AND status = 'canceled' AND id > $2 ORDER BY id LIMIT $3
    ) AS canceled
    UNION ALL SELECT id FROM (
        SELECT id FROM payments WHERE merchant_id = $1 AND status = 'expired' AND id > $2 ORDER BY id LIMIT $3
    ) AS expired
    UNION ALL SELECT id FROM (
        SELECT id FROM payments WHERE merchant_id = $1 AND status = 'failed' AND id > $2 ORDER BY id LIMIT $3
    ) AS failed
)
ORDER BY id LIMIT $3;

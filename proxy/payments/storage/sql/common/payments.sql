-- columns: payment
-- The columns of a payment, by the names of its fields.
{payment_order}, {payment_progress};

-- columns: payment_texts
-- What the shop wrote of the order, for people.
description, metadata;

-- columns: payment_order
-- Those of them that never change.
merchant_id, storefront, mode, order_id, id, terminal_id, amount_rials, currency, {payment_texts}, return_url,
    drop_in, protocol, number, link, expires_at, created_at, gateway;

-- columns: payment_progress
-- Those that a transition may change.
{payment_start}, invoice_key, linked_at, spare_invoice_keys, captured_invoice_keys, bank_code, captured_rials, paid_at,
    failure, review, evidence, intent, withdrawn_at, receipt, given_back;

-- columns: payment_start
-- Those of these that a new payment has.
updated_at, status, version, late;

-- columns: payment_issue
-- Those of these that the invoice of a payment changes which waited for one.
updated_at, status, version, invoice_key, linked_at;

-- columns: new_payment
-- What is written of a new payment: nothing else of it is there.
{payment_order}, {payment_start};

-- name: insert_payment
-- A new payment with its intent, unless its idempotency key is known or its order is paid.
INSERT INTO payments (idempotency_key, request_digest, lease_until, traceparent, {new_payment})
SELECT $1, $2, $3, $4, {new_payment from $5}
WHERE NOT EXISTS (SELECT 1 FROM paid_orders WHERE merchant_id = $5 AND storefront = $6 AND mode = $7 AND order_id = $8)
ON CONFLICT (merchant_id, storefront, mode, idempotency_key) DO NOTHING;

-- name: stored_by_key
-- The payment, intent and reply that a storefront stored in a mode under an idempotency key.
SELECT {payment}, idempotency_key, request_digest, lease_until, reply_status, reply_body
FROM payments
WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND idempotency_key = $4;

-- name: stored_by_id
-- A payment with its intent and reply.
SELECT {payment}, idempotency_key, request_digest, lease_until, reply_status, reply_body
FROM payments
WHERE merchant_id = $1 AND id = $2;

-- name: lease_request
-- Takes over a create whose lease is over and that has no reply; no row when somebody else has it.
UPDATE payments SET lease_until = $4
WHERE merchant_id = $1 AND id = $2 AND lease_until <= $3 AND reply_status IS NULL;

-- name: update_payment
-- What a transition changes, if the version is still the one that it was decided on. A reply is never replaced.
UPDATE payments SET
    ({payment_progress}) = ({payment_progress from $7}),
    lease_until = CASE WHEN $4 = 1 THEN 0 ELSE lease_until END,
    reply_status = coalesce(reply_status, $5),
    reply_body = coalesce(reply_body, $6)
WHERE merchant_id = $1 AND id = $2 AND version = $3;

-- name: issue_payment
-- The same for an invoice: a write of the other columns would look into each index that has one of them.
UPDATE payments SET
    ({payment_issue}) = ({payment_issue from $7}),
    lease_until = CASE WHEN $4 = 1 THEN 0 ELSE lease_until END,
    reply_status = coalesce(reply_status, $5),
    reply_body = coalesce(reply_body, $6)
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
SELECT {payment} FROM payments
WHERE merchant_id = $1 AND id = $2;

-- name: payment_by_link
-- The payment of a pay or return link.
SELECT {payment} FROM payments
WHERE merchant_id = $1 AND link = $2;

-- name: payment_by_number
-- The payment that a number names to its shop.
SELECT {payment} FROM payments
WHERE number = $1;

-- name: first_verify
-- Notes a shop's first verify of a paid payment; no row for a later one.
UPDATE payments SET verified_at = $3
WHERE merchant_id = $1 AND id = $2 AND status = 'paid' AND verified_at IS NULL;

-- name: verified_at
-- When the shop first verified the payment.
SELECT verified_at FROM payments WHERE merchant_id = $1 AND id = $2;

-- name: unverified
-- The newest payments of a storefront that are paid and that it never verified.
SELECT {payment} FROM payments
WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND protocol = $4 AND status = 'paid'
    AND protocol IS NOT NULL AND verified_at IS NULL
ORDER BY id DESC LIMIT $5;

-- name: watched_by_link
-- The payment of a return link, with its watch where it has one. No join: a planner would rather read all of a
-- merchant's watches.
SELECT {payment},
    (SELECT w.due_at FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id),
    (SELECT w.soon FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id),
    (SELECT w.version FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id),
    (SELECT w.point FROM watches AS w WHERE w.merchant_id = p.merchant_id AND w.payment_id = p.id)
FROM payments AS p
WHERE merchant_id = $1 AND link = $2;

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

-- name: release_order
-- The order is not paid by this payment any more, whose money went back.
DELETE FROM paid_orders
WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND order_id = $4 AND payment_id = $5;

-- name: claim_confirm
-- Makes this payment the one of its order that is being confirmed; no row when another is.
INSERT INTO confirming_orders (merchant_id, storefront, mode, order_id, payment_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (merchant_id, storefront, mode, order_id) DO NOTHING;

-- name: confirm_owner
-- Which payment of an order is being confirmed.
SELECT payment_id FROM confirming_orders WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND order_id = $4;

-- name: release_confirm
-- The payment is not being confirmed any more.
DELETE FROM confirming_orders
WHERE merchant_id = $1 AND storefront = $2 AND mode = $3 AND order_id = $4 AND payment_id = $5;

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

-- name: lines_with_fields
-- Those of the newest lines of a merchant's timelines that keep fields of an answer or a return, with their terminals.
SELECT payments.terminal_id, line.at, line.kind, line.duration_ms, line.data
FROM (
    SELECT payment_id, at, kind, duration_ms, data FROM timeline WHERE merchant_id = $1
    ORDER BY payment_id DESC, number DESC LIMIT $2
) AS line
JOIN payments ON payments.merchant_id = $1 AND payments.id = line.payment_id
WHERE line.data LIKE '%"fields":{%';

-- name: unsettled_after
-- A merchant's payments after an id that may still turn out paid, oldest first: the first of each status by its index.
SELECT {payment} FROM payments
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
    UNION ALL SELECT id FROM (
        SELECT id FROM payments WHERE merchant_id = $1 AND status = 'given_back' AND id > $2 ORDER BY id LIMIT $3
    ) AS given_back
)
ORDER BY id LIMIT $3;

-- name: trace_of_payment
-- The trace in which a payment was created.
SELECT traceparent FROM payments WHERE merchant_id = $1 AND id = $2;

-- name: trace_of_link
-- The trace in which the payment of a pay or return link was created.
SELECT traceparent FROM payments WHERE merchant_id = $1 AND link = $2;

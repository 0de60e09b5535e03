-- columns: payment_line
-- What lists, sums and exports read of a payment, as PaymentLine has it.
id, merchant_id, storefront, mode, status, order_id, terminal_id, gateway, protocol, amount_rials, captured_rials,
    bank_code, invoice_key, late, created_at, updated_at, paid_at, receipt, given_back;

-- name: newest_lines
-- A merchant's payments between two ids, newest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND id > $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_lines_with_status
-- Those in one status, newest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND status = $5 AND id > $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_lines_of_storefront
-- Those of a storefront, a mode and a status, newest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND storefront = $5 AND mode = $6 AND status = $7 AND id > $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_lines_of_order
-- Those of an order, whosever it is, newest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND order_id = $5 AND id > $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_of_merchants
-- The newest payment between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT max(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: newest_of_merchants_with_status
-- The newest one in one status between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT max(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.status = $5
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: newest_of_merchants_of_storefront
-- The newest one of a storefront, a mode and a status between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT max(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.storefront = $5 AND p.mode = $6 AND p.status = $7
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: newest_of_merchants_of_order
-- The newest one of an order between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT max(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.order_id = $5
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: oldest_lines
-- A merchant's payments between two ids, oldest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4;

-- name: oldest_lines_with_status
-- Those in one status, oldest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND status = $5 AND id > $2 AND id < $3 ORDER BY id LIMIT $4;

-- name: oldest_lines_of_storefront
-- Those of a storefront, a mode and a status, oldest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND storefront = $5 AND mode = $6 AND status = $7 AND id > $2 AND id < $3 ORDER BY id LIMIT $4;

-- name: oldest_lines_of_order
-- Those of an order, whosever it is, oldest first: a stretch of one index, with nothing left out.
SELECT {payment_line} FROM payments
WHERE merchant_id = $1 AND order_id = $5 AND id > $2 AND id < $3 ORDER BY id LIMIT $4;

-- name: oldest_of_merchants
-- The oldest payment between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT min(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: oldest_of_merchants_with_status
-- The oldest one in one status between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT min(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.status = $5
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: oldest_of_merchants_of_storefront
-- The oldest one of a storefront, a mode and a status between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT min(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.storefront = $5 AND p.mode = $6 AND p.status = $7
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: oldest_of_merchants_of_order
-- The oldest one of an order between two places of each merchant of a stretch that has one.
SELECT merchant, id FROM (
    SELECT m.id AS merchant, (
        SELECT min(p.id) FROM payments AS p
        WHERE p.merchant_id = m.id AND p.order_id = $5
            AND p.id > 'pay_' || substr(m.id, 5) || $3 AND p.id < 'pay_' || substr(m.id, 5) || $4
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS heads WHERE id IS NOT NULL;

-- name: ids_of_bank_code
-- The payments with a bank's tracking number in a range of texts, whoever sells, in the order of the numbers.
SELECT payment_id, bank_code FROM bank_codes
WHERE bank_code || '' >= $1 AND bank_code || '' <= $2 ORDER BY bank_code || '' LIMIT $3;

-- name: own_ids_of_bank_code
-- Those of one merchant.
SELECT payment_id, bank_code FROM bank_codes
WHERE merchant_id = $4 AND bank_code >= $1 AND bank_code <= $2 ORDER BY bank_code LIMIT $3;

-- name: reviews_of_bank_code
-- Of the payments that need review, those that came with a bank's tracking number: of all merchants between two, or of one.
SELECT id FROM payments
WHERE status = 'needs_review' AND bank_code = $1 AND merchant_id >= $3 AND merchant_id <= $4 LIMIT $2;

-- name: ids_of_order_id
-- The payments with an order in a range of texts, whoever sells, in the order of those.
SELECT id, order_id FROM payments
WHERE order_id || '' >= $1 AND order_id || '' <= $2 ORDER BY order_id || '' LIMIT $3;

-- name: own_ids_of_order_id
-- Those of one merchant.
SELECT id, order_id FROM payments
WHERE merchant_id = $4 AND order_id >= $1 AND order_id <= $2 ORDER BY order_id LIMIT $3;

-- name: ids_of_invoice_key
-- The payments with an invoice_key in a range of texts, whoever sells, in the order of those.
SELECT payment_id, invoice_key FROM invoice_keys
WHERE invoice_key || '' >= $1 AND invoice_key || '' <= $2 ORDER BY invoice_key || '' LIMIT $3;

-- name: newest_orders
-- What a merchant's newest payments before an id are of.
SELECT id, amount_rials, {payment_texts} FROM payments WHERE merchant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- name: day_sums
-- Of a stretch of a merchant's payments between two ids: how many there are of each status and mode in each part of the day
-- since $5, of which amount, and the last id; apart those paid ones that went back because the shop had them reversed.
SELECT status, mode, part, reversed, count(*), CAST(sum(amount_rials) AS bigint), max(id)
FROM (
    SELECT
        id, status, mode, amount_rials, (created_at - CAST($5 AS bigint)) / CAST($6 AS bigint) AS part,
        CASE
            WHEN status = 'paid' AND given_back LIKE '{"reason":"merchant_reversed",%' AND given_back NOT LIKE '%"at":null,%'
                THEN 1 ELSE 0
        END AS reversed
    FROM payments
    WHERE merchant_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4
) AS stretch
GROUP BY status, mode, part, reversed;

-- name: newest_ids
-- A merchant's newest payments between two places of its ids.
SELECT id FROM payments WHERE merchant_id = $1 AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_ids_with_status
-- The same of one status.
SELECT id FROM payments WHERE merchant_id = $1 AND status = $5 AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: ids_of_bank_code
-- The payment that has a bank's tracking number, of a stretch of merchants; and of their payments that need review, those
-- that came with it. Each is looked for in its merchant's part of an index: planners would rather read all of them.
SELECT id FROM (
    SELECT (
        SELECT b.payment_id FROM bank_codes AS b WHERE b.merchant_id = m.id AND b.bank_code = $3
    ) AS id FROM merchants AS m WHERE m.id >= $1 AND m.id <= $2
) AS claimed WHERE id IS NOT NULL
UNION
SELECT p.id FROM payments AS p
WHERE p.merchant_id IN (SELECT id FROM merchants WHERE id >= $1 AND id <= $2)
    AND p.status = 'needs_review' AND p.bank_code = $3
LIMIT $4;

-- name: ids_of_invoice_key
-- The payment whose invoice it is, of a stretch of merchants, by each of their terminals.
SELECT id FROM (
    SELECT (
        SELECT k.payment_id FROM invoice_keys AS k
        WHERE k.merchant_id = t.merchant_id AND k.terminal_id = t.id AND k.invoice_key = $3
    ) AS id FROM terminals AS t WHERE t.merchant_id >= $1 AND t.merchant_id <= $2
) AS claimed WHERE id IS NOT NULL
LIMIT $4;

-- name: ids_of_order_id
-- The payments of an order, of a stretch of merchants.
SELECT p.id FROM payments AS p
WHERE p.merchant_id IN (SELECT id FROM merchants WHERE id >= $1 AND id <= $2) AND p.order_id = $3
LIMIT $4;

-- name: newest_amounts
-- What a merchant's newest payments before an id are of.
SELECT id, amount_rials FROM payments WHERE merchant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- name: day_rows
-- What a day's sums need of a merchant's payments after an id.
SELECT id, status, mode, amount_rials, created_at FROM payments
WHERE merchant_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- name: newest_ids
-- A merchant's newest payments between two places of its ids.
SELECT id FROM payments WHERE merchant_id = $1 AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: newest_ids_with_status
-- The same of one status.
SELECT id FROM payments WHERE merchant_id = $1 AND status = $5 AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $4;

-- name: ids_of_bank_code
-- The payment that has a bank's tracking number, of a stretch of merchants; and of their payments that need review, those
-- that came with it.
SELECT b.payment_id FROM (SELECT id FROM merchants WHERE id >= $1 AND id <= $2) AS m
JOIN bank_codes AS b ON b.merchant_id = m.id AND b.bank_code = $3
UNION
SELECT p.id FROM (SELECT id FROM merchants WHERE id >= $1 AND id <= $2) AS m
JOIN payments AS p ON p.merchant_id = m.id AND p.status = 'needs_review' AND p.bank_code = $3
LIMIT $4;

-- name: ids_of_invoice_key
-- The payment whose invoice it is, of a stretch of merchants.
SELECT k.payment_id FROM (SELECT id FROM merchants WHERE id >= $1 AND id <= $2) AS m
JOIN terminals AS t ON t.merchant_id = m.id
JOIN invoice_keys AS k ON k.merchant_id = t.merchant_id AND k.terminal_id = t.id AND k.invoice_key = $3
LIMIT $4;

-- name: ids_of_order_id
-- The payments of an order, of a stretch of merchants.
SELECT p.id FROM (SELECT id FROM merchants WHERE id >= $1 AND id <= $2) AS m
JOIN payments AS p ON p.merchant_id = m.id AND p.order_id = $3
LIMIT $4;

-- name: day_rows
-- What a day's sums need of a merchant's payments after an id.
SELECT id, status, mode, amount_rials, created_at FROM payments
WHERE merchant_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- name: ids_of_bank_code
-- The payments with a bank's tracking number in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT n.payment_id, n.bank_code FROM merchants AS m CROSS JOIN bank_codes AS n
WHERE m.id >= $1 AND m.id <= $2 AND n.merchant_id = m.id
    AND n.bank_code >= $3 AND n.bank_code <= $4
LIMIT $5;

-- name: ids_of_order_id
-- The payments with an order in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT n.id, n.order_id FROM merchants AS m CROSS JOIN payments AS n
WHERE m.id >= $1 AND m.id <= $2 AND n.merchant_id = m.id
    AND n.order_id >= $3 AND n.order_id <= $4
LIMIT $5;

-- name: ids_of_trace_number
-- The payments with a bank's reference of a capture in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT n.id, json_extract(n.receipt, '$.trace_number') FROM merchants AS m CROSS JOIN payments AS n
WHERE m.id >= $1 AND m.id <= $2 AND n.merchant_id = m.id
    AND json_extract(n.receipt, '$.trace_number') >= $3 AND json_extract(n.receipt, '$.trace_number') <= $4 AND n.receipt IS NOT NULL
LIMIT $5;

-- name: ids_of_card
-- The payments with the last digits of a card in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT n.id, substr(json_extract(n.receipt, '$.card_mask'), -4) FROM merchants AS m CROSS JOIN payments AS n
WHERE m.id >= $1 AND m.id <= $2 AND n.merchant_id = m.id
    AND substr(json_extract(n.receipt, '$.card_mask'), -4) >= $3 AND substr(json_extract(n.receipt, '$.card_mask'), -4) <= $4 AND n.receipt IS NOT NULL
LIMIT $5;

-- name: ids_of_invoice_key
-- The payments with an invoice_key in a range of texts, of a stretch of merchants, by each of their terminals.
SELECT n.payment_id, n.invoice_key FROM terminals AS m CROSS JOIN invoice_keys AS n
WHERE m.merchant_id >= $1 AND m.merchant_id <= $2 AND n.merchant_id = m.merchant_id AND n.terminal_id = m.id
    AND n.invoice_key >= $3 AND n.invoice_key <= $4
LIMIT $5;

-- name: ids_of_id
-- The payments with an id in a range of texts, of a stretch of merchants.
SELECT n.id, n.id FROM merchants AS m CROSS JOIN payments AS n
WHERE m.id >= $1 AND m.id <= $2 AND n.merchant_id = m.id AND n.id >= $3 AND n.id <= $4
LIMIT $5;

-- name: ids_of_trace_number
-- The payments with a bank's reference of a capture in a range of texts, whoever sells, in the order of those.
SELECT id, json_extract(receipt, '$.trace_number') FROM payments
WHERE json_extract(receipt, '$.trace_number') || '' >= $1
    AND json_extract(receipt, '$.trace_number') || '' <= $2
    AND receipt IS NOT NULL
ORDER BY json_extract(receipt, '$.trace_number') || '' LIMIT $3;

-- name: own_ids_of_trace_number
-- Those of one merchant.
SELECT id, json_extract(receipt, '$.trace_number') FROM payments
WHERE merchant_id = $4 AND json_extract(receipt, '$.trace_number') >= $1 AND json_extract(receipt, '$.trace_number') <= $2
    AND receipt IS NOT NULL
ORDER BY json_extract(receipt, '$.trace_number') LIMIT $3;

-- name: ids_of_card
-- The payments with the last digits of a card in a range of texts, whoever sells, in the order of those.
SELECT id, substr(json_extract(receipt, '$.card_mask'), -4) FROM payments
WHERE substr(json_extract(receipt, '$.card_mask'), -4) || '' >= $1
    AND substr(json_extract(receipt, '$.card_mask'), -4) || '' <= $2
    AND receipt IS NOT NULL
ORDER BY substr(json_extract(receipt, '$.card_mask'), -4) || '' LIMIT $3;

-- name: own_ids_of_card
-- Those of one merchant.
SELECT id, substr(json_extract(receipt, '$.card_mask'), -4) FROM payments
WHERE merchant_id = $4 AND substr(json_extract(receipt, '$.card_mask'), -4) >= $1 AND substr(json_extract(receipt, '$.card_mask'), -4) <= $2
    AND receipt IS NOT NULL
ORDER BY substr(json_extract(receipt, '$.card_mask'), -4) LIMIT $3;

-- name: own_ids_of_invoice_key
-- The payments with an invoice_key in a range of texts, of one merchant, by each of its terminals.
SELECT n.payment_id, n.invoice_key FROM terminals AS m CROSS JOIN invoice_keys AS n
WHERE m.merchant_id = $4 AND n.merchant_id = m.merchant_id AND n.terminal_id = m.id
    AND n.invoice_key >= $1 AND n.invoice_key <= $2
LIMIT $3;

-- name: ids_of_id
-- The payments with an id in a range of texts, of a stretch of merchants.
SELECT n.id, n.id FROM merchants AS m CROSS JOIN payments AS n
WHERE m.id >= $4 AND m.id <= $5 AND n.merchant_id = m.id AND n.id >= $1 AND n.id <= $2
LIMIT $3;

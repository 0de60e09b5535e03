-- name: ids_of_trace_number
-- The payments with a bank's reference of a capture in a range of texts, whoever sells, in the order of those.
SELECT id, substring(receipt FROM '"trace_number":"([^"]*)"') FROM payments
WHERE substring(receipt FROM '"trace_number":"([^"]*)"') || '' >= $1
    AND substring(receipt FROM '"trace_number":"([^"]*)"') || '' <= $2
    AND receipt IS NOT NULL
ORDER BY substring(receipt FROM '"trace_number":"([^"]*)"') || '' LIMIT $3;

-- name: own_ids_of_trace_number
-- Those of one merchant.
SELECT id, substring(receipt FROM '"trace_number":"([^"]*)"') FROM payments
WHERE merchant_id = $4 AND substring(receipt FROM '"trace_number":"([^"]*)"') >= $1 AND substring(receipt FROM '"trace_number":"([^"]*)"') <= $2
    AND receipt IS NOT NULL
ORDER BY substring(receipt FROM '"trace_number":"([^"]*)"') LIMIT $3;

-- name: ids_of_card
-- The payments with the last digits of a card in a range of texts, whoever sells, in the order of those.
SELECT id, right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) FROM payments
WHERE right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) || '' >= $1
    AND right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) || '' <= $2
    AND receipt IS NOT NULL
ORDER BY right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) || '' LIMIT $3;

-- name: own_ids_of_card
-- Those of one merchant.
SELECT id, right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) FROM payments
WHERE merchant_id = $4 AND right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) >= $1 AND right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) <= $2
    AND receipt IS NOT NULL
ORDER BY right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4) LIMIT $3;

-- name: own_ids_of_invoice_key
-- The payments with an invoice_key in a range of texts, of one merchant, by each of its terminals.
SELECT found.id, found.number FROM terminals AS m CROSS JOIN LATERAL (
    SELECT n.payment_id AS id, n.invoice_key AS number FROM invoice_keys AS n
    WHERE n.merchant_id = m.merchant_id AND n.terminal_id = m.id AND n.invoice_key >= $1 AND n.invoice_key <= $2
    ORDER BY n.invoice_key LIMIT $3
) AS found WHERE m.merchant_id = $4 LIMIT $3;

-- name: ids_of_id
-- The payments with an id in a range of texts, of a stretch of merchants.
SELECT found.id, found.id FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.id FROM payments AS n WHERE n.merchant_id = m.id AND n.id >= $1 AND n.id <= $2 ORDER BY n.id LIMIT $3
) AS found WHERE m.id >= $4 AND m.id <= $5 LIMIT $3;

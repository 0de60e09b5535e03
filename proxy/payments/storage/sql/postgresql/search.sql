-- name: ids_of_bank_code
-- The payments with a bank's tracking number in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT found.id, found.number FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.payment_id AS id, n.bank_code AS number FROM bank_codes AS n
    WHERE n.merchant_id = m.id AND n.bank_code >= $3 AND n.bank_code <= $4
    ORDER BY n.bank_code LIMIT $5
) AS found WHERE m.id >= $1 AND m.id <= $2 LIMIT $5;

-- name: ids_of_order_id
-- The payments with an order in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT found.id, found.number FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.id AS id, n.order_id AS number FROM payments AS n
    WHERE n.merchant_id = m.id AND n.order_id >= $3 AND n.order_id <= $4
    ORDER BY n.order_id LIMIT $5
) AS found WHERE m.id >= $1 AND m.id <= $2 LIMIT $5;

-- name: ids_of_trace_number
-- The payments with a bank's reference of a capture in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT found.id, found.number FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.id AS id, substring(n.receipt FROM '"trace_number":"([^"]*)"') AS number FROM payments AS n
    WHERE n.merchant_id = m.id AND substring(n.receipt FROM '"trace_number":"([^"]*)"') >= $3 AND substring(n.receipt FROM '"trace_number":"([^"]*)"') <= $4 AND n.receipt IS NOT NULL
    ORDER BY substring(n.receipt FROM '"trace_number":"([^"]*)"') LIMIT $5
) AS found WHERE m.id >= $1 AND m.id <= $2 LIMIT $5;

-- name: ids_of_card
-- The payments with the last digits of a card in a range of texts, of a stretch of merchants: each merchant's part of an index in turn.
SELECT found.id, found.number FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.id AS id, right(substring(n.receipt FROM '"card_mask":"([^"]*)"'), 4) AS number FROM payments AS n
    WHERE n.merchant_id = m.id AND right(substring(n.receipt FROM '"card_mask":"([^"]*)"'), 4) >= $3 AND right(substring(n.receipt FROM '"card_mask":"([^"]*)"'), 4) <= $4 AND n.receipt IS NOT NULL
    ORDER BY right(substring(n.receipt FROM '"card_mask":"([^"]*)"'), 4) LIMIT $5
) AS found WHERE m.id >= $1 AND m.id <= $2 LIMIT $5;

-- name: ids_of_invoice_key
-- The payments with an invoice_key in a range of texts, of a stretch of merchants, by each of their terminals.
SELECT found.id, found.number FROM terminals AS m CROSS JOIN LATERAL (
    SELECT n.payment_id AS id, n.invoice_key AS number FROM invoice_keys AS n
    WHERE n.merchant_id = m.merchant_id AND n.terminal_id = m.id AND n.invoice_key >= $3 AND n.invoice_key <= $4
    ORDER BY n.invoice_key LIMIT $5
) AS found WHERE m.merchant_id >= $1 AND m.merchant_id <= $2 LIMIT $5;

-- name: ids_of_id
-- The payments with an id in a range of texts, of a stretch of merchants.
SELECT found.id, found.number FROM merchants AS m CROSS JOIN LATERAL (
    SELECT n.id AS id, n.id AS number FROM payments AS n
    WHERE n.merchant_id = m.id AND n.id >= $3 AND n.id <= $4
    ORDER BY n.id LIMIT $5
) AS found WHERE m.id >= $1 AND m.id <= $2 LIMIT $5;

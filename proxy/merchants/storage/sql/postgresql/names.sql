-- name: names_in_one_text
-- What a stretch of merchants and their records are known by: one text of each kind, to be looked through at once.
SELECT 'merchants', string_agg(known, chr(10)) FROM (
    SELECT id || chr(10) || name || chr(10) || looks || return_origins AS known FROM merchants
    WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3
) AS stretch
UNION ALL
SELECT 'terminals', string_agg(known, chr(10)) FROM (
    SELECT id || chr(10) || name || chr(10) || gateway_url AS known FROM terminals
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch
UNION ALL
SELECT 'tokens', string_agg(known, chr(10)) FROM (
    SELECT id || chr(10) || prefix || chr(10) || storefront AS known FROM tokens
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch
UNION ALL
SELECT 'endpoints', string_agg(known, chr(10)) FROM (
    SELECT id || chr(10) || url || chr(10) || description AS known FROM endpoints
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch;

-- name: merchants_of_ids
-- The merchants with some ids.
SELECT {merchants.merchant} FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked (id) CROSS JOIN LATERAL (
    SELECT {merchant} FROM merchants WHERE id = asked.id LIMIT 1
) AS merchants;

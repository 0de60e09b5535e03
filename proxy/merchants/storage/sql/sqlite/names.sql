-- name: names_in_one_text
-- What a stretch of merchants and their records are known by: one text of each kind, to be looked through at once.
SELECT 'merchants', group_concat(known, char(10)) FROM (
    SELECT id || char(10) || name || char(10) || looks || return_origins AS known FROM merchants
    WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3
) AS stretch
UNION ALL
SELECT 'terminals', group_concat(known, char(10)) FROM (
    SELECT id || char(10) || name || char(10) || gateway_url AS known FROM terminals
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch
UNION ALL
SELECT 'tokens', group_concat(known, char(10)) FROM (
    SELECT id || char(10) || prefix || char(10) || storefront AS known FROM tokens
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch
UNION ALL
SELECT 'endpoints', group_concat(known, char(10)) FROM (
    SELECT id || char(10) || url || char(10) || description AS known FROM endpoints
    WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3
) AS stretch;

-- name: merchants_of_ids
-- The merchants with some ids.
SELECT {merchants.merchant} FROM json_each($1) AS asked CROSS JOIN merchants WHERE merchants.id = asked.value;

-- name: insert_operator
-- A new operator's token.
INSERT INTO operators (id, name, role, prefix, digest, created_at, expires_at, revoked_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: end_operator
-- When an operator's token ends, unless it ends earlier.
UPDATE operators SET revoked_at = CASE WHEN revoked_at < $2 THEN revoked_at ELSE $2 END WHERE id = $1;

-- name: operator
-- One operator's token, with the operator's second factor.
SELECT
    operators.id, name, role, prefix, digest, created_at, expires_at, revoked_at, last_used_at,
    second_factors.id, enrolled_at
FROM operators LEFT JOIN second_factors ON second_factors.operator = operators.name
WHERE operators.id = $1;

-- name: operator_by_digest
-- The operator's token with a digest, with the operator's second factor.
SELECT
    operators.id, name, role, prefix, digest, created_at, expires_at, revoked_at, last_used_at,
    second_factors.id, enrolled_at
FROM operators LEFT JOIN second_factors ON second_factors.operator = operators.name
WHERE digest = $1;

-- name: list_operators
-- The operators' tokens, in id order, each with the operator's second factor.
SELECT
    operators.id, name, role, prefix, digest, created_at, expires_at, revoked_at, last_used_at,
    second_factors.id, enrolled_at
FROM operators LEFT JOIN second_factors ON second_factors.operator = operators.name
ORDER BY operators.id LIMIT $1;

-- name: living_operators
-- The names of the operators' tokens that are not over.
SELECT name FROM operators
WHERE (revoked_at IS NULL OR revoked_at > $1) AND (expires_at IS NULL OR expires_at > $1);

-- name: use_operator
-- When an operator's token was last used, unless that was noted just before.
UPDATE operators SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3);

-- name: use_token
-- When an API token was last used, unless that was noted just before.
UPDATE tokens SET last_used_at = $3
WHERE merchant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4);

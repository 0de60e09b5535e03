-- name: advance_audit
-- The next number of a chain, with the hash before it; the first one's is given. It holds the chain until the commit.
INSERT INTO audit_heads (merchant_id, number, hash) VALUES ($1, 1, $2)
ON CONFLICT (merchant_id) DO UPDATE SET number = audit_heads.number + 1
RETURNING number, hash;

-- name: set_audit_head
-- The hash of a chain's newest entry.
UPDATE audit_heads SET hash = $2 WHERE merchant_id = $1;

-- name: insert_audit
-- One act of an operator, at its place in the chain.
INSERT INTO audit (merchant_id, id, at, actor, action, target, data, number, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: audit_at
-- When an audit entry was made.
SELECT at FROM audit WHERE id = $1;

-- name: list_audit
-- A merchant's audit entries before a point, newest first.
SELECT merchant_id, id, at, actor, action, target, data FROM audit
WHERE merchant_id = $1 AND (at, id) < ($2, $3)
ORDER BY at DESC, id DESC LIMIT $4;

-- name: list_audit_of_all
-- Every merchant's audit entries before a point, newest first.
SELECT merchant_id, id, at, actor, action, target, data FROM audit
WHERE (at, id) < ($1, $2)
ORDER BY at DESC, id DESC LIMIT $3;

-- name: audit_links
-- The entries of a chain after a number, in order.
SELECT merchant_id, number, id, at, actor, action, target, data, hash FROM audit
WHERE merchant_id = $1 AND number > $2
ORDER BY number LIMIT $3;

-- name: audit_head
-- Where a chain ends.
SELECT number, hash FROM audit_heads WHERE merchant_id = $1;

-- name: audit_merchants
-- Whoever has a chain, or must have one, in order: the first of each table by its index.
SELECT merchant_id FROM (
    SELECT merchant_id FROM (
        SELECT id AS merchant_id FROM merchants WHERE id > $1 ORDER BY id LIMIT $2
    ) AS of_merchants
    UNION SELECT merchant_id FROM (
        SELECT merchant_id FROM audit_heads WHERE merchant_id > $1 ORDER BY merchant_id LIMIT $2
    ) AS of_heads
    UNION SELECT merchant_id FROM (
        SELECT DISTINCT merchant_id FROM audit WHERE merchant_id > $1 ORDER BY merchant_id LIMIT $2
    ) AS of_entries
) AS chains
ORDER BY merchant_id LIMIT $2;

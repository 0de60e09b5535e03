-- name: insert_endpoint
-- A new endpoint.
INSERT INTO endpoints (
    merchant_id, id, mode, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, older_keys, created_at, updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: disable_endpoint
-- Disables an endpoint, unless its merchant has changed it since the attempt that tells against it was claimed.
UPDATE endpoints SET state = 'disabled', state_reason = $3, state_since = $4,
    updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at + 1 END
WHERE merchant_id = $1 AND id = $2 AND state = 'enabled' AND updated_at = $5;

-- name: update_endpoint
-- What may change of an endpoint, unless it changed since it was read.
UPDATE endpoints SET
    url = $3, storefront = $4, event_types = $5, description = $6, headers = $7, state = $8, state_reason = $9,
    state_since = $10, signatures = $11, key_number = $12, previous_until = $13, older_keys = $14, updated_at = $15
WHERE merchant_id = $1 AND id = $2 AND updated_at = $16;

-- name: delete_endpoint
-- Removes an endpoint.
DELETE FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: endpoint
-- One endpoint.
SELECT merchant_id, id, mode, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, older_keys, created_at, updated_at
FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: list_endpoints
-- A merchant's endpoints, in id order.
SELECT merchant_id, id, mode, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, older_keys, created_at, updated_at
FROM endpoints WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: rotated_endpoints_between
-- A merchant's endpoints between two ids that had another signing key before, in id order.
SELECT merchant_id, id, mode, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, older_keys, created_at, updated_at
FROM endpoints WHERE merchant_id = $1 AND id > $2 AND id < $3 AND key_number > 1 ORDER BY id LIMIT $4;

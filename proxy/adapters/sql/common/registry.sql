-- name: insert_merchant
-- A new merchant.
INSERT INTO merchants (id, name, return_origins, looks, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: update_merchant
-- What may change of a merchant.
UPDATE merchants SET name = $2, return_origins = $3, looks = $4, updated_at = $5 WHERE id = $1;

-- name: merchant
-- One merchant.
SELECT id, name, return_origins, looks, created_at, updated_at FROM merchants WHERE id = $1;

-- name: list_merchants
-- Merchants in id order.
SELECT id, name, return_origins, looks, created_at, updated_at FROM merchants WHERE id > $1 ORDER BY id LIMIT $2;

-- name: put_logo
-- A merchant's picture, in the place of the one before it.
INSERT INTO logos (merchant_id, digest, image) VALUES ($1, $2, $3)
ON CONFLICT (merchant_id) DO UPDATE SET digest = excluded.digest, image = excluded.image;

-- name: delete_logo
-- A merchant has no picture any more.
DELETE FROM logos WHERE merchant_id = $1;

-- name: logo
-- A merchant's picture, while it is still the one of this digest.
SELECT image FROM logos WHERE merchant_id = $1 AND digest = $2;

-- name: insert_terminal
-- A new terminal.
INSERT INTO terminals (
    merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: update_terminal
-- What may change of a terminal.
UPDATE terminals SET name = $3, gateway_url = $4, return_base_url = $5, enabled = $6, updated_at = $7
WHERE merchant_id = $1 AND id = $2;

-- name: terminal
-- One terminal.
SELECT merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at
FROM terminals WHERE merchant_id = $1 AND id = $2;

-- name: list_terminals
-- A merchant's terminals, in id order.
SELECT merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at
FROM terminals WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: insert_token
-- A new API token.
INSERT INTO tokens (
    merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: update_token
-- What may change of an API token. An earlier end stands.
UPDATE tokens SET scopes = $3, terminal_id = $4, expires_at = $5,
    revoked_at = CASE WHEN revoked_at < $6 THEN revoked_at ELSE $6 END
WHERE merchant_id = $1 AND id = $2;

-- name: end_token
-- When an API token ends, unless it ends earlier.
UPDATE tokens SET revoked_at = CASE WHEN revoked_at < $3 THEN revoked_at ELSE $3 END WHERE merchant_id = $1 AND id = $2;

-- name: token
-- One API token.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at
FROM tokens WHERE merchant_id = $1 AND id = $2;

-- name: token_by_digest
-- The API token with a digest.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at
FROM tokens WHERE merchant_id = $1 AND digest = $2;

-- name: list_tokens
-- A merchant's API tokens, in id order.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at
FROM tokens WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: insert_endpoint
-- A new endpoint.
INSERT INTO endpoints (
    merchant_id, id, url, storefront, event_types, description, headers, state, state_reason, state_since, signatures,
    key_number, previous_until, created_at, updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: disable_endpoint
-- Disables an endpoint, unless its merchant has changed it since the attempt that tells against it was claimed.
UPDATE endpoints SET state = 'disabled', state_reason = $3, state_since = $4,
    updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at + 1 END
WHERE merchant_id = $1 AND id = $2 AND state = 'enabled' AND updated_at = $5;

-- name: update_endpoint
-- What may change of an endpoint, unless it changed since it was read.
UPDATE endpoints SET
    url = $3, storefront = $4, event_types = $5, description = $6, headers = $7, state = $8, state_reason = $9,
    state_since = $10, signatures = $11, key_number = $12, previous_until = $13, updated_at = $14
WHERE merchant_id = $1 AND id = $2 AND updated_at = $15;

-- name: delete_endpoint
-- Removes an endpoint.
DELETE FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: endpoint
-- One endpoint.
SELECT merchant_id, id, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, created_at, updated_at
FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: list_endpoints
-- A merchant's endpoints, in id order.
SELECT merchant_id, id, url, storefront, event_types, description, headers, state, state_reason, state_since,
    signatures, key_number, previous_until, created_at, updated_at
FROM endpoints WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: put_secret
-- A sealed secret, in place of the one before.
INSERT INTO secrets (merchant_id, owner_id, name, kek_id, blob) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (merchant_id, owner_id, name) DO UPDATE SET kek_id = excluded.kek_id, blob = excluded.blob;

-- name: secrets
-- All sealed secrets of one owner.
SELECT merchant_id, owner_id, name, kek_id, blob FROM secrets WHERE merchant_id = $1 AND owner_id = $2 ORDER BY name;

-- name: delete_secrets
-- Removes an owner's secrets.
DELETE FROM secrets WHERE merchant_id = $1 AND owner_id = $2;

-- name: sealed_otherwise
-- Secrets under other keys than this one; two ranges of the index, so that a rotation does not reread what it did.
SELECT merchant_id, owner_id, name, kek_id, blob FROM secrets WHERE kek_id < $1
UNION ALL
SELECT merchant_id, owner_id, name, kek_id, blob FROM secrets WHERE kek_id > $1
LIMIT $2;

-- name: kek_ids
-- The keys under which something is sealed.
SELECT DISTINCT kek_id FROM secrets;

-- name: rewrap_secret
-- A secret under another key, if it is still the one that was read.
UPDATE secrets SET kek_id = $5, blob = $6 WHERE merchant_id = $1 AND owner_id = $2 AND name = $3 AND blob = $4;

-- name: ping
-- A small write, to see whether writing works.
UPDATE heartbeat SET at = $1 WHERE id = 1;

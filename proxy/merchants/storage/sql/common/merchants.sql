-- name: merchants_after
-- The ids of the next merchants.
SELECT id FROM merchants WHERE id > $1 ORDER BY id LIMIT $2;

-- columns: merchant
-- What there is of a merchant, but its secrets and its picture.
id, name, return_origins, looks, created_at, updated_at, contact, more_contacts, archived_at;

-- name: insert_merchant
-- A new merchant.
INSERT INTO merchants ({merchant}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: update_merchant
-- What may change of a merchant.
UPDATE merchants SET name = $2, return_origins = $3, looks = $4, updated_at = $5, contact = $6, more_contacts = $7 WHERE id = $1;

-- name: archive_merchant
-- A merchant takes no new payments from now on, unless it takes none already.
UPDATE merchants SET archived_at = $2, updated_at = $2 WHERE id = $1 AND archived_at IS NULL;

-- name: unarchive_merchant
-- An archived merchant takes payments again.
UPDATE merchants SET archived_at = NULL, updated_at = $2 WHERE id = $1 AND archived_at IS NOT NULL;

-- name: merchant
-- One merchant.
SELECT {merchant} FROM merchants WHERE id = $1;

-- name: list_merchants
-- Merchants in id order.
SELECT {merchant} FROM merchants WHERE id > $1 ORDER BY id LIMIT $2;

-- name: list_active_merchants
-- Merchants that are not archived, in id order.
SELECT {merchant} FROM merchants WHERE id > $1 AND archived_at IS NULL ORDER BY id LIMIT $2;

-- name: list_archived_merchants
-- Archived merchants, in id order.
SELECT {merchant} FROM merchants WHERE id > $1 AND archived_at IS NOT NULL ORDER BY id LIMIT $2;

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
    merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at, gateway, options
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: update_terminal
-- What may change of a terminal.
UPDATE terminals SET name = $3, gateway_url = $4, return_base_url = $5, enabled = $6, updated_at = $7, options = $8
WHERE merchant_id = $1 AND id = $2;

-- name: terminal
-- One terminal.
SELECT merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at, gateway, options
FROM terminals WHERE merchant_id = $1 AND id = $2;

-- name: list_terminals
-- A merchant's terminals, in id order.
SELECT merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at, gateway, options
FROM terminals WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: insert_token
-- A new API token.
INSERT INTO tokens (
    merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at, protocol
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: update_token
-- What may change of an API token. An earlier end stands.
UPDATE tokens SET scopes = $3, terminal_id = $4, expires_at = $5,
    revoked_at = CASE WHEN revoked_at < $6 THEN revoked_at ELSE $6 END
WHERE merchant_id = $1 AND id = $2;

-- name: restore_token
-- Takes the end of an API token away, if it is still this one.
UPDATE tokens SET revoked_at = NULL WHERE merchant_id = $1 AND id = $2 AND revoked_at = $3;

-- name: end_token
-- When an API token ends, unless it ends earlier.
UPDATE tokens SET revoked_at = CASE WHEN revoked_at < $3 THEN revoked_at ELSE $3 END WHERE merchant_id = $1 AND id = $2;

-- name: token
-- One API token.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at, protocol
FROM tokens WHERE merchant_id = $1 AND id = $2;

-- name: token_by_digest
-- The API token with a digest.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at, protocol
FROM tokens WHERE merchant_id = $1 AND digest = $2;

-- name: list_tokens
-- A merchant's API tokens, in id order.
SELECT merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at, expires_at, revoked_at,
    amount_unit, return_method, any_https_return, last_used_at, protocol
FROM tokens WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: names_of_merchants
-- What a stretch of merchants is known by.
SELECT id, id, name, '[' || looks || ',' || return_origins || ']' FROM merchants WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3;

-- name: names_of_terminals
-- What terminals of a stretch of merchants are known by.
SELECT merchant_id, id, name, gateway_url FROM terminals
WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3;

-- name: names_of_tokens
-- What tokens of a stretch of merchants are known by.
SELECT merchant_id, id, prefix, storefront FROM tokens
WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3;

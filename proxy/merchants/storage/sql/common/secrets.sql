-- name: put_secret
-- A sealed secret, in place of the one before.
INSERT INTO secrets (merchant_id, owner_id, name, kek_id, blob) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (merchant_id, owner_id, name) DO UPDATE SET kek_id = excluded.kek_id, blob = excluded.blob;

-- name: secrets
-- All sealed secrets of one owner.
SELECT merchant_id, owner_id, name, kek_id, blob FROM secrets WHERE merchant_id = $1 AND owner_id = $2 ORDER BY name;

-- name: delete_secret
-- Removes one secret.
DELETE FROM secrets WHERE merchant_id = $1 AND owner_id = $2 AND name = $3;

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

-- name: secrets_bound_at
-- When the upgrade that binds secrets to their origins was done, if it was.
SELECT secrets_bound_at FROM heartbeat WHERE id = $1;

-- name: note_secrets_bound
-- The upgrade is done; who was first is kept.
UPDATE heartbeat SET secrets_bound_at = $1 WHERE id = 1 AND secrets_bound_at IS NULL;

-- name: credential_names
-- The names of the secrets of a merchant's terminals.
SELECT owner_id, secrets.name FROM secrets
JOIN terminals ON terminals.merchant_id = secrets.merchant_id AND terminals.id = secrets.owner_id
WHERE secrets.merchant_id = $1 ORDER BY owner_id, secrets.name;

-- name: terminal_secrets
-- Every terminal's credentials with the URL that they go to, in the order of their key.
SELECT secrets.merchant_id, owner_id, secrets.name, kek_id, blob, gateway_url FROM secrets
JOIN terminals ON terminals.merchant_id = secrets.merchant_id AND terminals.id = secrets.owner_id
WHERE (secrets.merchant_id, owner_id, secrets.name) > ($1, $2, $3)
ORDER BY secrets.merchant_id, owner_id, secrets.name LIMIT $4;

-- name: plain_headers
-- Endpoints whose headers an older version wrote: an object with the values, where a list of names belongs.
SELECT merchant_id, id, url, headers FROM endpoints WHERE headers LIKE '{%' ORDER BY merchant_id, id LIMIT $1;

-- name: name_headers
-- The headers' names in place of the headers, if the row is still as it was read.
UPDATE endpoints SET headers = $5 WHERE merchant_id = $1 AND id = $2 AND url = $3 AND headers = $4;

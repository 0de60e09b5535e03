-- columns: endpoint
-- An endpoint, in the order of endpoint_row and endpoint_of.
merchant_id, id, mode, url, storefront, event_types, description, headers, state, state_reason, state_since, signatures,
key_number, previous_until, older_keys, max_in_flight, created_at, updated_at;

-- name: insert_endpoint
-- A new endpoint.
INSERT INTO endpoints ({endpoint}) VALUES ({endpoint from $1});

-- name: disable_endpoint
-- Disables an endpoint, unless its merchant has changed it since the attempt that tells against it was claimed.
UPDATE endpoints SET state = 'disabled', state_reason = $3, state_since = $4,
    updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at + 1 END
WHERE merchant_id = $1 AND id = $2 AND state = 'enabled' AND updated_at = $5;

-- name: update_endpoint
-- What may change of an endpoint, unless it changed since it was read.
UPDATE endpoints SET
    url = $3, storefront = $4, event_types = $5, description = $6, headers = $7, state = $8, state_reason = $9,
    state_since = $10, signatures = $11, key_number = $12, previous_until = $13, older_keys = $14,
    max_in_flight = $15, updated_at = $16
WHERE merchant_id = $1 AND id = $2 AND updated_at = $17;

-- name: delete_endpoint
-- Removes an endpoint.
DELETE FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: endpoint
-- One endpoint.
SELECT {endpoint}
FROM endpoints WHERE merchant_id = $1 AND id = $2;

-- name: list_endpoints
-- A merchant's endpoints, in id order.
SELECT {endpoint}
FROM endpoints WHERE merchant_id = $1 ORDER BY id LIMIT $2;

-- name: all_endpoints
-- The endpoints of all merchants behind one, of the modes between two.
SELECT {endpoint}
FROM endpoints WHERE merchant_id > $1 AND mode >= $2 AND mode <= $3 ORDER BY merchant_id, id LIMIT $4;

-- name: rotated_endpoints_between
-- A merchant's endpoints between two ids that had another signing key before, in id order.
SELECT {endpoint}
FROM endpoints WHERE merchant_id = $1 AND id > $2 AND id < $3 AND key_number > 1 ORDER BY id LIMIT $4;

-- name: names_of_endpoints
-- What endpoints of a stretch of merchants are known by.
SELECT merchant_id, id, url, description FROM endpoints
WHERE merchant_id >= $1 AND merchant_id <= $2 ORDER BY merchant_id, id LIMIT $3;

-- columns: saved_filter
-- A filter as it is stored.
id, owner, owner_name, list, name, query, shared, updated_at;

-- name: own_filters
-- An operator's filters, by list and name.
SELECT {saved_filter} FROM saved_filters WHERE owner = $1 ORDER BY list, name LIMIT $2;

-- name: shared_filters
-- The filters that are for everyone, by list and name.
SELECT {saved_filter} FROM saved_filters WHERE shared = 1 AND list > '' ORDER BY list, name LIMIT $1;

-- name: saved_filter
-- One filter.
SELECT {saved_filter} FROM saved_filters WHERE id = $1;

-- name: filter_named
-- An operator's filter of a list by its name.
SELECT {saved_filter} FROM saved_filters WHERE owner = $1 AND list = $2 AND name = $3;

-- name: count_own_filters
-- How many filters an operator has beside this one.
SELECT count(*) FROM saved_filters WHERE owner = $1 AND NOT (list = $2 AND name = $3);

-- name: count_shared_filters
-- How many filters are for everyone beside this one.
SELECT count(*) FROM saved_filters WHERE shared = 1 AND list > '' AND NOT (owner = $1 AND list = $2 AND name = $3);

-- name: save_filter
-- Keeps a filter, in place of the operator's one of the same list and name.
INSERT INTO saved_filters ({saved_filter}) VALUES ({saved_filter from $1})
ON CONFLICT (owner, list, name) DO UPDATE SET
    owner_name = excluded.owner_name, query = excluded.query, shared = excluded.shared, updated_at = excluded.updated_at;

-- name: delete_filter
-- Forgets a filter.
DELETE FROM saved_filters WHERE id = $1;

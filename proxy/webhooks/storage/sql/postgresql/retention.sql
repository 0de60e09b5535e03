-- name: lock_merchant
-- Waits for those who write something of this merchant's, and lets others wait until this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: make_parts
-- Makes the partitions of the periods from one to another that are missing and can be made.
SELECT make_parts($1, $2);

-- name: missing_parts
-- How many of the periods from one to another have no partition of their own, and how the database writes text.
SELECT count(*), current_setting('server_encoding') FROM generate_series(CAST($1 AS bigint), CAST($2 AS bigint)) AS n
WHERE to_regclass('events_' || n) IS NULL OR to_regclass('attempts_' || n) IS NULL;

-- name: oldest_part_of_events
-- The oldest period whose events and deliveries have partitions.
SELECT min(CAST(substr(c.relname, 8) AS bigint)) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST('events' AS regclass) AND c.relname ~ '^events_[0-9]+$';

-- name: oldest_part_of_attempts
-- The oldest period whose attempts have one.
SELECT min(CAST(substr(c.relname, 10) AS bigint)) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST('attempts' AS regclass) AND c.relname ~ '^attempts_[0-9]+$';

-- name: undelivered_of_part
-- Events of a period that somebody still waits for. What is kept leaves the period, so the next ones come first then.
SELECT d.merchant_id, d.event_id FROM endpoints AS p CROSS JOIN LATERAL (
    SELECT merchant_id, event_id FROM deliveries
    WHERE merchant_id = p.merchant_id AND endpoint_id = p.id AND status IN ('pending', 'failed') AND part = $1
    LIMIT $2
) AS d LIMIT $2;

-- name: keep_event
-- Moves an event out of its period.
UPDATE events SET part = 0 WHERE merchant_id = $1 AND id = $2 AND part = $3;

-- name: keep_deliveries_of_event
-- Moves all of its deliveries after it.
UPDATE deliveries SET part = 0 WHERE merchant_id = $1 AND event_id = $2 AND part = $3;

-- name: endpoints_from
-- Endpoints from one on.
SELECT merchant_id, id FROM endpoints WHERE (merchant_id, id) >= ($1, $2) ORDER BY merchant_id, id LIMIT $3;

-- name: keep_attempts
-- Moves a delivery's attempts out of a period.
UPDATE attempts SET part = 0 WHERE merchant_id = $1 AND delivery_id = $2 AND part = $3;

-- name: drop_events
-- Drops a period's events and deliveries. False when somebody waits for one of them, or when the tables are too busy.
SELECT drop_events($1);

-- name: drop_attempts
-- Drops a period's attempts. False when the table is too busy.
SELECT drop_attempts($1);

-- name: forgettable_events
-- Events between two ids in id order that are in no partition that is dropped as a whole, and whether there is still
-- somebody to deliver them to.
SELECT e.id, EXISTS (
    SELECT 1 FROM deliveries AS d JOIN endpoints AS p ON p.merchant_id = d.merchant_id AND p.id = d.endpoint_id
    WHERE d.merchant_id = e.merchant_id AND d.event_id = e.id AND d.part = e.part AND d.status IN ('pending', 'failed')
) AS wanted, e.part
FROM events_rest AS e WHERE e.merchant_id = $1 AND e.id > $2 AND e.id < $3
ORDER BY e.id LIMIT $4;

-- name: deliveries_between
-- Between two ids, in id order, the deliveries that have attempts in no such partition.
SELECT a.delivery_id, coalesce((
    SELECT d.status FROM deliveries AS d WHERE d.merchant_id = $1 AND d.id = a.delivery_id
), 'dropped')
FROM (
    SELECT DISTINCT delivery_id FROM attempts_rest WHERE merchant_id = $1 AND delivery_id > $2 AND delivery_id < $3
    ORDER BY delivery_id LIMIT $4
) AS a ORDER BY a.delivery_id;

-- name: forget_attempts
-- Deletes those of a delivery's attempts before a time.
DELETE FROM attempts_rest WHERE merchant_id = $1 AND delivery_id = $2 AND started_at < $3;

-- name: deliveries_in_status
-- An endpoint's deliveries in a status between two ids, of some partitions, up to a limit, in id order: with their state and
-- what their events are.
SELECT d.id, d.attempts, d.due_at, d.delivered_at, e.type, e.mode, e.storefront
FROM deliveries AS d JOIN events AS e ON e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
WHERE d.merchant_id = $1 AND (d.part BETWEEN $6 AND $7 OR d.part = 0) AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries
        WHERE merchant_id = $1 AND endpoint_id = $2 AND status = $3 AND id > $4 AND id < $5
            AND (part BETWEEN $6 AND $7 OR part = 0)
        ORDER BY id LIMIT $8
    ) AS page
)
ORDER BY d.id;

-- name: count_due
-- How much is due at an endpoint, up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE merchant_id = $1 AND endpoint_id = $2 AND due_at <= $3 ORDER BY due_at LIMIT $4
) AS due;

-- name: insert_resend
-- A new resend.
INSERT INTO resends (id, created_at, actor, idempotency_key, request_digest, filter, stopped_at)
VALUES ($1, $2, $3, $4, $5, $6, NULL);

-- name: insert_resend_endpoint
-- An endpoint of a resend, to be looked at now.
INSERT INTO resend_endpoints (
    merchant_id, endpoint_id, resend_id, reached, waiting, wanted, requeued, delivered, failed, changed_at, due_at,
    ended_at
)
VALUES ($1, $2, $3, NULL, '{}', $4, 0, 0, 0, $5, $5, NULL);

-- name: resend_under_key
-- The resend that somebody asked for with an idempotency key.
SELECT id, request_digest FROM resends WHERE actor = $1 AND idempotency_key = $2;

-- name: resend
-- A resend with the sums over its endpoints.
SELECT r.id, r.created_at, r.actor, r.filter, r.stopped_at, count(e.resend_id), count(e.due_at), max(e.ended_at),
    CAST(coalesce(sum(e.wanted), 0) AS bigint), CAST(coalesce(sum(e.requeued), 0) AS bigint),
    CAST(coalesce(sum(e.delivered), 0) AS bigint), CAST(coalesce(sum(e.failed), 0) AS bigint)
FROM resends AS r LEFT JOIN resend_endpoints AS e ON e.resend_id = r.id
WHERE r.id = $1
GROUP BY r.id, r.created_at, r.actor, r.filter, r.stopped_at;

-- name: resend_ids
-- The newest resends before an id.
SELECT id FROM resends WHERE id < $1 ORDER BY id DESC LIMIT $2;

-- name: resend_ids_of_actor
-- The newest resends of one actor before an id.
SELECT id FROM resends WHERE actor = $3 AND id < $1 ORDER BY id DESC LIMIT $2;

-- name: endpoints_of_resend
-- How far a resend is at each of its endpoints.
SELECT merchant_id, endpoint_id, wanted, requeued, delivered, failed, ended_at FROM resend_endpoints
WHERE resend_id = $1 ORDER BY merchant_id, endpoint_id LIMIT $2;

-- name: count_running_resends
-- How many resends of an actor are under way.
SELECT count(*) FROM resends AS r WHERE r.actor = $1 AND r.stopped_at IS NULL AND EXISTS (
    SELECT 1 FROM resend_endpoints AS e WHERE e.resend_id = r.id AND e.due_at IS NOT NULL
);

-- name: stop_resend
-- Stops a resend, unless that was done before.
UPDATE resends SET stopped_at = $2 WHERE id = $1 AND stopped_at IS NULL;

-- name: hasten_resend
-- Has the endpoints of a resend looked at now.
UPDATE resend_endpoints SET due_at = $2 WHERE resend_id = $1 AND due_at IS NOT NULL;

-- name: due_resend_endpoints
-- What is to be looked at, what waits longest first; and what a clock that was ahead put off.
SELECT merchant_id, endpoint_id, resend_id FROM resend_endpoints
WHERE due_at IS NOT NULL AND (due_at <= $1 OR due_at > $2) ORDER BY due_at LIMIT $3;

-- name: next_resend_at
-- When the next one is due.
SELECT min(due_at) FROM resend_endpoints WHERE due_at IS NOT NULL;

-- name: resend_endpoint
-- One endpoint of a resend, to go on with.
SELECT e.reached, e.waiting, e.requeued, e.delivered, e.failed, e.changed_at, e.due_at, r.created_at, r.filter,
    r.stopped_at
FROM resend_endpoints AS e JOIN resends AS r ON r.id = e.resend_id
WHERE e.merchant_id = $1 AND e.endpoint_id = $2 AND e.resend_id = $3;

-- name: save_resend_endpoint
-- How far a resend is at an endpoint.
UPDATE resend_endpoints SET reached = $4, waiting = $5, requeued = $6, delivered = $7, failed = $8, changed_at = $9,
    due_at = $10, ended_at = $11
WHERE merchant_id = $1 AND endpoint_id = $2 AND resend_id = $3;

-- name: old_resends
-- An actor's resends that are over, behind the newest ones.
SELECT id FROM resends AS r WHERE actor = $1 AND NOT EXISTS (
    SELECT 1 FROM resend_endpoints AS e WHERE e.resend_id = r.id AND e.due_at IS NOT NULL
)
ORDER BY id DESC LIMIT 100 OFFSET $2;

-- name: forget_resend
-- Deletes a resend.
DELETE FROM resends WHERE id = $1;

-- name: forget_resend_endpoints
-- Deletes the endpoints of a resend.
DELETE FROM resend_endpoints WHERE resend_id = $1;

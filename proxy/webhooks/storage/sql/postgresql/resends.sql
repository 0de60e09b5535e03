-- name: states_of_deliveries
-- Of some deliveries, each with its partition, the state.
SELECT d.id, d.status, d.attempts, d.due_at
FROM jsonb_array_elements(CAST($2 AS jsonb)) AS asked CROSS JOIN LATERAL (
    SELECT id, status, attempts, due_at FROM deliveries
    WHERE merchant_id = $1 AND id = asked ->> 0 AND part IN (CAST(asked ->> 1 AS bigint), 0) LIMIT 1
) AS d;

-- name: count_deliveries_of_endpoints
-- Of each of some endpoints, with the ids between which its deliveries are: how many there are of each kind of event in some
-- statuses, of some partitions, and up to a limit of each status.
SELECT asked.number - 1, e.type, e.mode, e.storefront, count(*)
FROM jsonb_array_elements(CAST($1 AS jsonb)) WITH ORDINALITY AS asked (value, number)
CROSS JOIN jsonb_array_elements_text(CAST($2 AS jsonb)) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT merchant_id, event_id, part FROM deliveries
    WHERE merchant_id = asked.value ->> 0 AND endpoint_id = asked.value ->> 1 AND status = wanted.status
        AND id > asked.value ->> 2 AND id < asked.value ->> 3 AND (part BETWEEN $3 AND $4 OR part = 0)
    ORDER BY id LIMIT $5
) AS d
CROSS JOIN LATERAL (
    SELECT type, mode, storefront FROM events
    WHERE merchant_id = d.merchant_id AND id = d.event_id AND part = d.part LIMIT 1
) AS e
GROUP BY asked.number, e.type, e.mode, e.storefront;

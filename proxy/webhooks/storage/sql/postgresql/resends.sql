-- name: states_of_deliveries
-- Of some deliveries, each with its partition, the state.
SELECT d.id, d.status, d.attempts, d.due_at
FROM jsonb_array_elements(CAST($2 AS jsonb)) AS asked CROSS JOIN LATERAL (
    SELECT id, status, attempts, due_at FROM deliveries
    WHERE merchant_id = $1 AND id = asked ->> 0 AND part IN (CAST(asked ->> 1 AS bigint), 0) LIMIT 1
) AS d;

-- name: states_of_deliveries
-- Of some deliveries, each with its partition, the state.
SELECT d.id, d.status, d.attempts, d.due_at
FROM json_each($2) AS asked CROSS JOIN deliveries AS d
WHERE d.merchant_id = $1 AND d.id = json_extract(asked.value, '$[0]')
    AND d.part IN (json_extract(asked.value, '$[1]'), 0);

-- name: states_of_deliveries
-- Of some deliveries, each with its partition, the state.
SELECT d.id, d.status, d.attempts, d.due_at
FROM json_each($2) AS asked CROSS JOIN deliveries AS d
WHERE d.merchant_id = $1 AND d.id = json_extract(asked.value, '$[0]')
    AND d.part IN (json_extract(asked.value, '$[1]'), 0);

-- name: count_deliveries_of_endpoints
-- Of each of some endpoints, with the ids between which its deliveries are: how many there are of each kind of event in some
-- statuses, of some partitions, and up to a limit of each status.
SELECT asked.key, e.type, e.mode, e.storefront, count(*)
FROM json_each($1) AS asked CROSS JOIN json_each($2) AS wanted CROSS JOIN deliveries AS d CROSS JOIN events AS e
WHERE d.merchant_id = json_extract(asked.value, '$[0]') AND (d.part BETWEEN $3 AND $4 OR d.part = 0) AND d.id IN (
    SELECT id FROM (
        SELECT id FROM deliveries
        WHERE merchant_id = json_extract(asked.value, '$[0]') AND endpoint_id = json_extract(asked.value, '$[1]')
            AND status = wanted.value
            AND id > json_extract(asked.value, '$[2]') AND id < json_extract(asked.value, '$[3]')
            AND (part BETWEEN $3 AND $4 OR part = 0)
        ORDER BY id LIMIT $5
    ) AS page
) AND e.merchant_id = d.merchant_id AND e.id = d.event_id AND e.part = d.part
GROUP BY asked.key, e.type, e.mode, e.storefront;

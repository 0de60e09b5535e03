-- name: delivered_of_events
-- Of some events, each with its period, whether every endpoint concerned has got it; not when there is none.
SELECT asked ->> 0, coalesce((
    SELECT min(CASE WHEN d.status = 'delivered' THEN 1 ELSE 0 END) FROM deliveries AS d
    WHERE d.merchant_id = $1 AND d.event_id = asked ->> 0 AND d.part IN (CAST(asked ->> 1 AS bigint), 0)
), 0)
FROM jsonb_array_elements(CAST($2 AS jsonb)) AS asked;

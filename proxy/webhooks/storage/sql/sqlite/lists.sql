-- name: delivered_of_events
-- Of some events, each with its period, whether every endpoint concerned has got it; not when there is none.
SELECT json_extract(value, '$[0]'), coalesce((
    SELECT min(CASE WHEN d.status = 'delivered' THEN 1 ELSE 0 END) FROM deliveries AS d
    WHERE d.merchant_id = $1 AND d.event_id = json_extract(value, '$[0]')
        AND d.part IN (json_extract(value, '$[1]'), 0)
), 0)
FROM json_each($2);

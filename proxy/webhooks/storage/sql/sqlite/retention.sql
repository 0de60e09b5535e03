-- name: lock_merchant
-- Where others write too: waits for those who write something of this merchant's, and lets them wait. Here nobody does.
SELECT $1;

-- name: forgettable_events
-- Events between two ids in id order, and whether there is still somebody to deliver them to.
SELECT e.id, EXISTS (
    SELECT 1 FROM deliveries AS d JOIN endpoints AS p ON p.merchant_id = d.merchant_id AND p.id = d.endpoint_id
    WHERE d.merchant_id = e.merchant_id AND d.event_id = e.id AND d.part = e.part AND d.status IN ('pending', 'failed')
) AS wanted, e.part
FROM events AS e WHERE e.merchant_id = $1 AND e.id > $2 AND e.id < $3
ORDER BY e.id LIMIT $4;

-- name: deliveries_between
-- Deliveries between two ids in id order.
SELECT id, status FROM deliveries WHERE merchant_id = $1 AND id > $2 AND id < $3
ORDER BY id LIMIT $4;

-- name: forget_attempts
-- Deletes a delivery's attempts before a time.
DELETE FROM attempts WHERE merchant_id = $1 AND delivery_id = $2 AND started_at < $3;

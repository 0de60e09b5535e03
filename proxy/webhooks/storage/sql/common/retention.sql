-- name: forget_attempts_of_event
-- Deletes what was tried of an event.
DELETE FROM attempts WHERE merchant_id = $1 AND delivery_id IN (
    SELECT id FROM deliveries WHERE merchant_id = $1 AND event_id = $2 AND part = $3
);

-- name: forget_deliveries_of_event
-- Deletes an event's deliveries.
DELETE FROM deliveries WHERE merchant_id = $1 AND event_id = $2 AND part = $3;

-- name: forget_event
-- Deletes an event.
DELETE FROM events WHERE merchant_id = $1 AND id = $2 AND part = $3;

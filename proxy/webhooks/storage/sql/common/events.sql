-- name: next_sequence
-- The merchant's next event number, without gaps.
INSERT INTO event_sequences (merchant_id, last) VALUES ($1, 1)
ON CONFLICT (merchant_id) DO UPDATE SET last = event_sequences.last + 1
RETURNING last;

-- name: insert_event
-- An event with its frozen body. It belongs to the trace in which its payment was created.
INSERT INTO events (
    merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at, body, part,
    traceparent
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT traceparent FROM payments WHERE merchant_id = $1 AND id = $7)
)
RETURNING traceparent;

-- name: event
-- One event.
SELECT id, merchant_id, sequence, storefront, mode, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0);

-- name: list_events
-- A merchant's events after a sequence, in order.
SELECT id, merchant_id, sequence, storefront, mode, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3;

-- name: list_events_of_storefront
-- Those of a storefront and a mode. What has no mode is from when all was live.
SELECT id, merchant_id, sequence, storefront, mode, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence IN (
    SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $4 AND mode = $5 AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS with_mode
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $4 AND mode IS NULL AND $5 = 'live' AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS modeless
)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_type
-- Those of a storefront, a mode and a type.
SELECT id, merchant_id, sequence, storefront, mode, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence IN (
    SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $4 AND mode = $5 AND type = $6 AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS with_mode
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $4 AND mode IS NULL AND $5 = 'live' AND type = $6 AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS modeless
)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_payment
-- Those of a payment.
SELECT id, merchant_id, sequence, storefront, mode, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND payment_id = $4 AND sequence > $2 ORDER BY sequence LIMIT $3;

-- name: last_sequence
-- The number of a merchant's newest event.
SELECT last FROM event_sequences WHERE merchant_id = $1;

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
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND id = $2 AND part IN ($3, 0);

-- name: list_events
-- A merchant's events after a sequence, in order, of both modes or one. What is in no mode is in both.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence > $2 AND (mode = $4 OR $4 IS NULL OR mode IS NULL)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_storefront
-- A storefront's events and those of the merchant as a whole, after a sequence, in order, of both modes or one: the first
-- of each by its index.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence IN (
    SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $5 AND mode = 'live' AND sequence > $2 AND ($4 = 'live' OR $4 IS NULL)
        ORDER BY sequence LIMIT $3
    ) AS live
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events
        WHERE merchant_id = $1 AND storefront = $5 AND mode = 'test' AND sequence > $2 AND ($4 = 'test' OR $4 IS NULL)
        ORDER BY sequence LIMIT $3
    ) AS test
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events WHERE merchant_id = $1 AND storefront = $5 AND mode IS NULL AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS modeless
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events WHERE merchant_id = $1 AND storefront IS NULL AND mode IS NULL AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS everybodys
)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_type
-- Events of one type after a sequence, in order, of both modes or one, of all storefronts or one.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND type = $6 AND sequence > $2
    AND (mode = $4 OR $4 IS NULL OR mode IS NULL) AND (storefront = $5 OR $5 IS NULL OR storefront IS NULL)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_payment
-- A payment's events after a sequence, in order, of any type or one.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND payment_id = $7 AND sequence > $2
    AND (mode = $4 OR $4 IS NULL) AND (storefront = $5 OR $5 IS NULL) AND (type = $6 OR $6 IS NULL)
ORDER BY sequence LIMIT $3;

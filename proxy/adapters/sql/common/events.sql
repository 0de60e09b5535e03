-- name: next_sequence
-- The merchant's next event number, without gaps.
INSERT INTO event_sequences (merchant_id, last) VALUES ($1, 1)
ON CONFLICT (merchant_id) DO UPDATE SET last = event_sequences.last + 1
RETURNING last;

-- name: insert_event
-- An event with its frozen body.
INSERT INTO events (merchant_id, id, sequence, storefront, type, payment_id, payment_version, occurred_at, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: event
-- One event.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND id = $2;

-- name: list_events
-- A merchant's events after a sequence, in order.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence > $2
ORDER BY sequence LIMIT $3;

-- name: list_events_of_storefront
-- A storefront's events and those of the merchant as a whole, after a sequence, in order: the first of each.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND sequence IN (
    SELECT sequence FROM (
        SELECT sequence FROM events WHERE merchant_id = $1 AND storefront = $4 AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS its
    UNION ALL SELECT sequence FROM (
        SELECT sequence FROM events WHERE merchant_id = $1 AND storefront IS NULL AND sequence > $2
        ORDER BY sequence LIMIT $3
    ) AS everybodys
)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_type
-- Events of one type after a sequence, in order, of all storefronts or one.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND type = $5 AND sequence > $2
    AND ($4 IS NULL OR storefront = $4 OR storefront IS NULL)
ORDER BY sequence LIMIT $3;

-- name: list_events_of_payment
-- A payment's events after a sequence, in order, of any type or one.
SELECT id, merchant_id, sequence, storefront, type, payment_id, occurred_at, body FROM events
WHERE merchant_id = $1 AND payment_id = $6 AND sequence > $2
    AND ($4 IS NULL OR storefront = $4) AND ($5 IS NULL OR type = $5)
ORDER BY sequence LIMIT $3;

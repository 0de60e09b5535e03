-- name: insert_recheck
-- A walk that a restore asks for; one a millisecond.
INSERT INTO rechecks (noted_at, moment, due_at, reached, unclear) VALUES ($1, $2, $3, NULL, 0)
ON CONFLICT (noted_at) DO NOTHING;

-- name: first_recheck
-- The oldest walk.
SELECT noted_at, moment, due_at, reached, unclear FROM rechecks WHERE noted_at > $1 ORDER BY noted_at LIMIT 1;

-- name: save_recheck
-- Moves a walk on, if it is still as it was read.
UPDATE rechecks SET due_at = $3, reached = $4, unclear = $5 WHERE noted_at = $1 AND due_at = $2;

-- name: end_recheck
-- Ends a walk, if it is still as it was read.
DELETE FROM rechecks WHERE noted_at = $1 AND due_at = $2;

-- name: skip_sequence_numbers
-- Has every merchant's events go on behind numbers that were perhaps told of before a restore.
UPDATE event_sequences SET last = last + $1 WHERE merchant_id > '';

-- name: insert_restore
-- That the database went back to a moment.
INSERT INTO restores (noted_at, moment) VALUES ($1, $2) ON CONFLICT (noted_at) DO NOTHING;

-- name: restores
-- The windows that restores took away, newest first.
SELECT moment, noted_at FROM restores WHERE noted_at > $1 ORDER BY noted_at DESC LIMIT 100;

-- name: ask_lost_again
-- Counts another question for a lost payment. An invoice_key that came with an earlier one is kept.
UPDATE lost_payments SET last_asked_at = $4, times = times + 1, invoice_key = COALESCE(invoice_key, $5)
WHERE merchant_id = $1 AND asked_by = $2 AND reference = $3;

-- name: count_lost
-- How many lost payments of a merchant one side has asked for, up to a limit.
SELECT COUNT(*) FROM (SELECT 1 FROM lost_payments WHERE merchant_id = $1 AND asked_by = $2 LIMIT $3) AS counted;

-- name: insert_lost
-- The first question for a lost payment.
INSERT INTO lost_payments (merchant_id, asked_by, reference, storefront, invoice_key, made_at, first_asked_at,
    last_asked_at, times)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1);

-- name: lost_payments
-- A merchant's lost payments that somebody asks for, by when they were made.
SELECT merchant_id, asked_by, reference, storefront, invoice_key, made_at, first_asked_at, last_asked_at, times
FROM lost_payments WHERE merchant_id = $1 ORDER BY made_at DESC, reference LIMIT $2;

-- name: create_at_once
-- A new payment with its watch, as `insert_payment` and `insert_watch`: whether it was stored.
WITH made AS (
    {insert_payment from $5}
    RETURNING merchant_id, id, terminal_id
), watched AS (
    INSERT INTO watches (merchant_id, payment_id, terminal_id, due_at, soon, version, point)
    SELECT merchant_id, id, terminal_id, $1, $2, $3, $4 FROM made
    ON CONFLICT (merchant_id, payment_id) DO NOTHING
)
SELECT count(*) FROM made;

-- name: issue_at_once
-- A payment's invoice with the line of the timeline, as `claim_invoice_key`, `issue_payment` and `add_entry`: whether it was
-- stored. It was not where the invoice was claimed before or the payment has changed; the claim may then be new.
WITH claimed AS (
    {claim_invoice_key}
    RETURNING 1
), issued AS (
    {issue_payment from $9}
        AND EXISTS (SELECT 1 FROM claimed)
    RETURNING merchant_id, id
), told AS (
    INSERT INTO timeline (merchant_id, payment_id, number, at, kind, duration_ms, data)
    SELECT merchant_id, id,
        1 + coalesce((SELECT max(number) FROM timeline WHERE merchant_id = $1 AND payment_id = $4), 0), $5, $6, $7, $8
    FROM issued
)
SELECT count(*) FROM issued;

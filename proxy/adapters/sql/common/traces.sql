-- name: trace_of_payment
-- The trace in which a payment was created.
SELECT traceparent FROM payments WHERE merchant_id = $1 AND id = $2;

-- name: trace_of_link
-- The trace in which the payment of a pay or return link was created.
SELECT traceparent FROM payments WHERE merchant_id = $1 AND link = $2;

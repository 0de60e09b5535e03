-- Payments of gateways that capture by a call: what a return brought, the call that is decided, what became of the
-- money; and the orders with a payment that is being confirmed, of which there is one at a time.
-- oldest code: 8
ALTER TABLE payments ADD COLUMN gateway TEXT NOT NULL DEFAULT 'invoice_script';
ALTER TABLE payments ADD COLUMN evidence TEXT;
ALTER TABLE payments ADD COLUMN intent TEXT;
ALTER TABLE payments ADD COLUMN withdrawn_at INTEGER;
ALTER TABLE payments ADD COLUMN receipt TEXT;
ALTER TABLE payments ADD COLUMN given_back TEXT;

CREATE TABLE confirming_orders (
    merchant_id TEXT NOT NULL,
    storefront TEXT NOT NULL,
    mode TEXT NOT NULL,
    order_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    PRIMARY KEY (merchant_id, storefront, mode, order_id)
) STRICT, WITHOUT ROWID;

-- Payments of gateways that capture by a call: what a return brought, the call that is decided, what became of the
-- money; and the orders with a payment that is being confirmed, of which there is one at a time.
-- oldest code: 8
ALTER TABLE payments ADD COLUMN gateway text COLLATE "C" NOT NULL DEFAULT 'invoice_script';
ALTER TABLE payments ADD COLUMN evidence text COLLATE "C";
ALTER TABLE payments ADD COLUMN intent text COLLATE "C";
ALTER TABLE payments ADD COLUMN withdrawn_at bigint;
ALTER TABLE payments ADD COLUMN receipt text COLLATE "C";
ALTER TABLE payments ADD COLUMN given_back text COLLATE "C";

CREATE TABLE confirming_orders (
    merchant_id text COLLATE "C" NOT NULL,
    storefront text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, storefront, mode, order_id)
);

-- The protocol in which a drop-in shop speaks: a token's, and its payments' where it is another than the script's. A
-- number names a payment to shops whose protocol has numbers, and verified_at is their first verify of a paid one.
-- oldest code: 8
ALTER TABLE tokens ADD COLUMN protocol text COLLATE "C" NOT NULL DEFAULT 'invoice_script';
ALTER TABLE payments ADD COLUMN protocol text COLLATE "C";
ALTER TABLE payments ADD COLUMN number bigint;
ALTER TABLE payments ADD COLUMN verified_at bigint;
CREATE UNIQUE INDEX payments_by_number ON payments (number) WHERE number IS NOT NULL;
CREATE INDEX payments_unverified ON payments (merchant_id, storefront, mode, protocol, id)
    WHERE status = 'paid' AND protocol IS NOT NULL AND verified_at IS NULL;

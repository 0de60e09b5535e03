-- By what a customer reads off a receipt: the bank's reference and the last digits of the card. Only captures of the gateways
-- that tell them are in these, so no create pays for them.
-- oldest code: 8
CREATE INDEX IF NOT EXISTS payments_by_trace ON payments (merchant_id, (substring(receipt FROM '"trace_number":"([^"]*)"'))) WHERE receipt IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_by_card ON payments (merchant_id, (right(substring(receipt FROM '"card_mask":"([^"]*)"'), 4))) WHERE receipt IS NOT NULL;

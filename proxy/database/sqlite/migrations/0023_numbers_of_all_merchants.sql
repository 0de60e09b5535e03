-- A number is found whoever sells: the search over all merchants looks into one index of each kind of number, where it
-- looked into one of each merchant. A create pays for two of these, which hold nothing but the number. They are of
-- expressions that only this search asks for, so that no planner takes one of them for what a merchant's own index has.
-- oldest code: 8
CREATE INDEX IF NOT EXISTS payments_by_order ON payments (order_id || '');
CREATE INDEX IF NOT EXISTS invoice_keys_by_key ON invoice_keys (invoice_key || '');
CREATE INDEX IF NOT EXISTS bank_codes_by_code ON bank_codes (bank_code || '');
CREATE INDEX IF NOT EXISTS payments_by_trace_of_all ON payments (json_extract(receipt, '$.trace_number') || '') WHERE receipt IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_by_card_of_all ON payments (substr(json_extract(receipt, '$.card_mask'), -4) || '') WHERE receipt IS NOT NULL;

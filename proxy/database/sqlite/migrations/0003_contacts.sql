-- How customers reach a merchant.
-- oldest code: 1
ALTER TABLE merchants ADD COLUMN contact TEXT;

-- The family of each terminal's gateway, and the family's settings that are no secret, as a JSON object.
-- oldest code: 8
ALTER TABLE terminals ADD COLUMN gateway text COLLATE "C" NOT NULL DEFAULT 'invoice_script';
ALTER TABLE terminals ADD COLUMN options text COLLATE "C" NOT NULL DEFAULT '{}';

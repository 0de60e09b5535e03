-- How many webhooks may be on their way to an endpoint at once. Code from before has eight for every endpoint, and fails at
-- one while more are on their way there.
-- oldest code: 8
ALTER TABLE endpoints ADD COLUMN max_in_flight INTEGER NOT NULL DEFAULT 8;

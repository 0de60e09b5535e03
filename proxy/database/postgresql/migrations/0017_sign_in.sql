-- Who a browser's session is of, and by which browser: for the list of sessions. A role stands where a provider's word
-- opened it.
-- oldest code: 8
ALTER TABLE sessions ADD COLUMN name text COLLATE "C";
ALTER TABLE sessions ADD COLUMN role text COLLATE "C";
ALTER TABLE sessions ADD COLUMN browser text COLLATE "C";
ALTER TABLE sessions ADD COLUMN address text COLLATE "C";

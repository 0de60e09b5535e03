-- Which point of the slow schedule a watch waits for: clear answers pass points, the clock does not. Empty in what older
-- code began, whose due time tells it.
-- oldest code: 4
ALTER TABLE watches ADD COLUMN point INTEGER;

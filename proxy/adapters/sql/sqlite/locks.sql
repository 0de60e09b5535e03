-- name: lock_merchant
-- Where others write too: waits for those who write something of this merchant's, and lets them wait. Here nobody does.
SELECT $1;

-- name: forget_sessions
-- Forgets a merchant's sessions that are over.
DELETE FROM sessions WHERE merchant_id = $1 AND expires_at <= $2;

-- name: count_sessions
-- How many sessions a merchant has, up to a number, and how many of them were opened with one token.
SELECT count(*), count(CASE WHEN subject = $3 THEN 1 END)
FROM (SELECT subject FROM sessions WHERE merchant_id = $1 LIMIT $2) AS counted;

-- name: insert_session
-- A new session.
INSERT INTO sessions (
    merchant_id, digest, kind, subject, embed_origin, created_at, seen_at, expires_at, name, role, browser, address,
    second_factor
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: session
-- One session.
SELECT
    merchant_id, digest, kind, subject, embed_origin, created_at, seen_at, expires_at, name, role, browser, address,
    second_factor
FROM sessions WHERE merchant_id = $1 AND digest = $2;

-- name: end_oldest_session
-- Ends the oldest session of a subject.
DELETE FROM sessions WHERE merchant_id = $1 AND digest = (
    SELECT digest FROM sessions WHERE merchant_id = $1 AND subject = $2 ORDER BY expires_at LIMIT 1
);

-- name: list_sessions
-- A merchant's sessions that are neither over nor idle.
SELECT
    merchant_id, digest, kind, subject, embed_origin, created_at, seen_at, expires_at, name, role, browser, address,
    second_factor
FROM sessions WHERE merchant_id = $1 AND expires_at > $2 AND seen_at > $3
ORDER BY expires_at DESC LIMIT $4;

-- name: touch_session
-- When a session was last seen.
UPDATE sessions SET seen_at = $3 WHERE merchant_id = $1 AND digest = $2;

-- name: end_session
-- Ends a session.
DELETE FROM sessions WHERE merchant_id = $1 AND digest = $2;

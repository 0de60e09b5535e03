-- name: alert_turn
-- Who tells, until when, and when the last message was made.
SELECT holder, until, message_at FROM alert_turn WHERE name = $1;

-- name: take_alert_turn
-- Takes or renews the turn to tell, where it is free, over, one's own, or of a clock that was ahead.
INSERT INTO alert_turn (name, holder, until) VALUES ($1, $2, $4)
ON CONFLICT (name) DO UPDATE SET holder = $2, until = $4
WHERE alert_turn.holder = $2 OR alert_turn.until <= $3 OR alert_turn.until > $4;

-- name: use_alert_turn
-- Notes when the last message was made, for whoever has the turn; and locks it.
UPDATE alert_turn SET message_at = COALESCE($3, message_at) WHERE name = $1 AND holder = $2;

-- name: alert_standings
-- All that is known of troubles.
SELECT kind, subject, merchant_id, since, count, urgent, facts, seen_at, gone_at, told_at FROM alert_standings
WHERE kind > $1 ORDER BY kind, subject LIMIT 2000;

-- name: save_alert_standing
-- What is known of one trouble now.
INSERT INTO alert_standings (kind, subject, merchant_id, since, count, urgent, facts, seen_at, gone_at, told_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (kind, subject) DO UPDATE SET merchant_id = $3, since = $4, count = $5, urgent = $6, facts = $7,
    seen_at = $8, gone_at = $9, told_at = $10;

-- name: forget_alert_standing
-- A trouble is over.
DELETE FROM alert_standings WHERE kind = $1 AND subject = $2;

-- name: last_alert_number
-- The newest message's number.
SELECT number FROM alert_messages WHERE number > $1 ORDER BY number DESC LIMIT 1;

-- name: insert_alert_message
-- A message.
INSERT INTO alert_messages (number, at, items) VALUES ($1, $2, $3);

-- name: insert_alert_delivery
-- Whom a message goes to, at once.
INSERT INTO alert_deliveries (target, number, attempts, due_at) VALUES ($1, $2, 0, $3);

-- name: forget_alert_messages
-- The message that is one too many.
DELETE FROM alert_messages WHERE number = $1;

-- name: forget_alert_deliveries
-- Where it went.
DELETE FROM alert_deliveries WHERE number = $1;

-- name: waiting_alert
-- The oldest message that has not reached a target.
SELECT d.number, d.attempts, d.due_at, m.at, m.items
FROM alert_deliveries AS d JOIN alert_messages AS m ON m.number = d.number
WHERE d.target = $1 AND d.due_at IS NOT NULL ORDER BY d.number LIMIT 1;

-- name: move_alert_delivery
-- Claims a delivery, plans it again or ends it, if it still is as it was read.
UPDATE alert_deliveries SET attempts = $4, due_at = $5, sent_at = $6, failure = $7
WHERE target = $1 AND number = $2 AND due_at = $3;

-- name: hurry_alert_deliveries
-- Makes what waits for a target due: it answers again.
UPDATE alert_deliveries SET due_at = $2 WHERE target = $1 AND due_at > $2;

-- name: note_alert_failure
-- A target did not take a message; since when is kept.
INSERT INTO alert_failures (target, since, failure) VALUES ($1, $2, $3)
ON CONFLICT (target) DO UPDATE SET failure = $3;

-- name: end_alert_failure
-- A target took a message.
DELETE FROM alert_failures WHERE target = $1;

-- name: alert_failures
-- The targets that do not take their messages.
SELECT target, since, failure FROM alert_failures WHERE target > $1 ORDER BY target LIMIT 100;

-- name: recent_alerts
-- The newest messages.
SELECT number, at, items FROM alert_messages WHERE number > $1 ORDER BY number DESC LIMIT $2;

-- name: recent_alert_deliveries
-- Where messages from a number on went.
SELECT number, target, attempts, due_at, sent_at, failure FROM alert_deliveries
WHERE number >= $1 ORDER BY number, target LIMIT 1000;

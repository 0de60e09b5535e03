-- Alerts to people: what they were told of, the messages and to whom each still goes, and which process tells.
-- oldest code: 8
CREATE TABLE alert_turn (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL,
    message_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_standings (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    merchant_id TEXT,
    since INTEGER NOT NULL,
    count INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    facts TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    gone_at INTEGER,
    told_at INTEGER,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_messages (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    items TEXT NOT NULL
) STRICT;

CREATE TABLE alert_deliveries (
    target TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER,
    sent_at INTEGER,
    failure TEXT,
    PRIMARY KEY (number, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_deliveries_waiting ON alert_deliveries (target, number) WHERE due_at IS NOT NULL;

CREATE TABLE alert_failures (
    target TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    failure TEXT NOT NULL
) STRICT, WITHOUT ROWID;

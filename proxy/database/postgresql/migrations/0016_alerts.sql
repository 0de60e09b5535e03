-- Alerts to people: what they were told of, the messages and to whom each still goes, and which process tells.
-- oldest code: 8
CREATE TABLE alert_turn (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until bigint NOT NULL,
    message_at bigint
);

CREATE TABLE alert_standings (
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C",
    since bigint NOT NULL,
    count bigint NOT NULL,
    urgent bigint NOT NULL,
    facts text COLLATE "C" NOT NULL,
    seen_at bigint NOT NULL,
    gone_at bigint,
    told_at bigint,
    PRIMARY KEY (kind, subject)
);

CREATE TABLE alert_messages (
    number bigint PRIMARY KEY,
    at bigint NOT NULL,
    items text COLLATE "C" NOT NULL
);

CREATE TABLE alert_deliveries (
    target text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    attempts bigint NOT NULL,
    due_at bigint,
    sent_at bigint,
    failure text COLLATE "C",
    PRIMARY KEY (number, target)
);

CREATE INDEX alert_deliveries_waiting ON alert_deliveries (target, number) WHERE due_at IS NOT NULL;

CREATE TABLE alert_failures (
    target text COLLATE "C" PRIMARY KEY,
    since bigint NOT NULL,
    failure text COLLATE "C" NOT NULL
);

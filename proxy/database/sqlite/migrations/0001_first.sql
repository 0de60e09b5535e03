-- merchant_id comes first in every key, so that shards or cells by merchant can split the tables. There are no foreign
-- keys: they would cost a look-up per row on the hot path, and every write goes through the store's whole steps.
-- Tables of narrow rows are WITHOUT ROWID, which saves one of two trees; rows that may pass 1000 bytes keep their
-- rowid, because such a row would spill to an overflow page otherwise.

CREATE TABLE merchants (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    return_origins TEXT NOT NULL,
    looks TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Apart from its merchant, whose row every create reads.
CREATE TABLE logos (
    merchant_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    image BLOB NOT NULL
) STRICT;

CREATE TABLE terminals (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    gateway_url TEXT NOT NULL,
    return_base_url TEXT,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    storefront TEXT NOT NULL,
    mode TEXT NOT NULL,
    prefix TEXT NOT NULL,
    digest BLOB NOT NULL,
    scopes TEXT NOT NULL,
    terminal_id TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    amount_unit TEXT NOT NULL,
    return_method TEXT NOT NULL,
    any_https_return INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    url TEXT NOT NULL,
    storefront TEXT,
    event_types TEXT NOT NULL,
    description TEXT NOT NULL,
    headers TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT,
    state_since INTEGER NOT NULL,
    signatures TEXT NOT NULL,
    key_number INTEGER NOT NULL,
    previous_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, id)
) STRICT, WITHOUT ROWID;

-- Every sealed secret, whoever owns it: rotating the key that seals them is one scan.
CREATE TABLE secrets (
    merchant_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (merchant_id, owner_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_by_kek ON secrets (kek_id);

CREATE TABLE audit (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    data TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, number)
) STRICT;
CREATE INDEX audit_of_merchant ON audit (merchant_id, at, id);
CREATE INDEX audit_of_all ON audit (at, id);
CREATE INDEX audit_by_id ON audit (id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'audit is append-only'); END;

-- Where each merchant's chain of audit entries ends; apart from them, so that cutting off the last ones shows.
CREATE TABLE audit_heads (
    merchant_id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Who runs Dargah. They are no merchant's.
CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Browsers' sessions. What a browser holds is not stored, only its digest.
CREATE TABLE sessions (
    merchant_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    embed_origin TEXT,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_that_end ON sessions (merchant_id, expires_at);

-- The intent of the create and its reply live in the payment's row: a create is then one insert, a replay one read.
CREATE TABLE payments (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    storefront TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    order_id TEXT NOT NULL,
    amount_rials INTEGER NOT NULL,
    currency TEXT NOT NULL,
    description TEXT,
    metadata TEXT NOT NULL,
    return_url TEXT,
    link TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    invoice_key TEXT,
    linked_at INTEGER,
    spare_invoice_keys TEXT,
    captured_invoice_keys TEXT,
    bank_code TEXT,
    captured_rials INTEGER,
    paid_at INTEGER,
    late INTEGER NOT NULL,
    failure TEXT,
    review TEXT,
    drop_in TEXT,
    idempotency_key TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    lease_until INTEGER NOT NULL,
    reply_status INTEGER,
    reply_body BLOB,
    traceparent TEXT,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, storefront, mode, idempotency_key),
    UNIQUE (merchant_id, link)
) STRICT;
CREATE INDEX payments_of_order ON payments (merchant_id, order_id, id);
CREATE INDEX payments_of_storefront ON payments (merchant_id, storefront, mode, id);
CREATE INDEX payments_with_status ON payments (merchant_id, status, id);

-- The claims of a payment on what only one payment may have. A row here is the uniqueness itself.
CREATE TABLE invoice_keys (
    merchant_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    invoice_key TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    PRIMARY KEY (merchant_id, terminal_id, invoice_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE bank_codes (
    merchant_id TEXT NOT NULL,
    bank_code TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    PRIMARY KEY (merchant_id, bank_code)
) STRICT, WITHOUT ROWID;

CREATE TABLE paid_orders (
    merchant_id TEXT NOT NULL,
    storefront TEXT NOT NULL,
    mode TEXT NOT NULL,
    order_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    PRIMARY KEY (merchant_id, storefront, mode, order_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE watches (
    merchant_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    soon INTEGER,
    version INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, payment_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_due ON watches (due_at);

CREATE TABLE timeline (
    merchant_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    duration_ms INTEGER,
    data TEXT NOT NULL,
    PRIMARY KEY (merchant_id, payment_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_sequences (
    merchant_id TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One event per thing that happened to a payment: a payment has each version once. part is the period of 30 days in which it
-- was made, as its id says; on PostgreSQL that is the partition that it lies in. An event and its deliveries share it.
CREATE TABLE events (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    storefront TEXT,
    mode TEXT,
    type TEXT NOT NULL,
    payment_id TEXT,
    payment_version INTEGER,
    occurred_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    traceparent TEXT,
    part INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, sequence),
    UNIQUE (merchant_id, payment_id, type, payment_version)
) STRICT;
CREATE INDEX events_of_storefront ON events (merchant_id, storefront, mode, sequence);
CREATE INDEX events_of_type ON events (merchant_id, type, sequence);

-- due_at is set exactly while a delivery is pending. What is on its way just now stands in its endpoint's turn, and is not
-- yet counted in attempts. The schedule counts from scheduled_from, which a retry by hand moves up, to one beyond attempts
-- while the delivery is on its way.
CREATE TABLE deliveries (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    payment_id TEXT,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    scheduled_from INTEGER NOT NULL,
    due_at INTEGER,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    part INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, event_id, endpoint_id, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (merchant_id, endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_of_endpoint ON deliveries (merchant_id, endpoint_id, status, id);

-- What claims read and write: one row per endpoint that is or was served. due_at is when its oldest delivery that waits is
-- due, but not before served_at, which puts an endpoint that was just served behind those that wait, and not before
-- paused_until; it is not set while the endpoint is held (paused or disabled), so that what is held is never looked at.
-- failures and failing_since say how it has been answering; an endpoint that is enabled again begins anew. in_flight is
-- what is on its way, at most 8: by delivery, [attempt, token, until, claimed at].
CREATE TABLE turns (
    merchant_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    due_at INTEGER,
    served_at INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    paused_until INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    in_flight TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (merchant_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_due ON turns (due_at) WHERE due_at IS NOT NULL;

-- Written once, when an attempt has ended or its claim has run out.
CREATE TABLE attempts (
    merchant_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    duration_ms INTEGER,
    outcome TEXT NOT NULL,
    status INTEGER,
    error TEXT,
    excerpt BLOB NOT NULL,
    part INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, delivery_id, number)
) STRICT, WITHOUT ROWID;
-- What an endpoint's figures are made of, without reading the excerpts; only attempts that have ended are in it.
CREATE INDEX attempts_of_endpoint ON attempts (merchant_id, endpoint_id, started_at, outcome, duration_ms)
    WHERE duration_ms IS NOT NULL;

CREATE TABLE heartbeat (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
INSERT INTO heartbeat VALUES (1, 0);

-- What restores leave to be done: to ask once more about what may have been paid since the moment that was gone back to.
CREATE TABLE rechecks (
    noted_at INTEGER PRIMARY KEY,
    moment INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    reached TEXT,
    unclear INTEGER NOT NULL
) STRICT;

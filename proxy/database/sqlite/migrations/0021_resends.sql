-- Resends: what an operator or a shop has sent again, endpoint by endpoint, and how far that is.
-- oldest code: 8
CREATE TABLE resends (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    idempotency_key TEXT,
    request_digest BLOB,
    filter TEXT NOT NULL,
    stopped_at INTEGER,
    UNIQUE (actor, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE resend_endpoints (
    merchant_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    resend_id TEXT NOT NULL,
    reached TEXT,
    waiting TEXT NOT NULL,
    wanted INTEGER NOT NULL,
    requeued INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    due_at INTEGER,
    ended_at INTEGER,
    PRIMARY KEY (merchant_id, endpoint_id, resend_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX resend_endpoints_of_resend ON resend_endpoints (resend_id, merchant_id, endpoint_id);
CREATE INDEX resend_endpoints_due ON resend_endpoints (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX resends_of_actor ON resends (actor, id);

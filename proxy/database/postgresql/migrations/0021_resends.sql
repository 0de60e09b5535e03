-- Resends: what an operator or a shop has sent again, endpoint by endpoint, and how far that is.
-- oldest code: 8
CREATE TABLE resends (
    id text COLLATE "C" PRIMARY KEY,
    created_at bigint NOT NULL,
    actor text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    request_digest bytea,
    filter text COLLATE "C" NOT NULL,
    stopped_at bigint,
    UNIQUE (actor, idempotency_key)
);

CREATE TABLE resend_endpoints (
    merchant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    resend_id text COLLATE "C" NOT NULL,
    reached text COLLATE "C",
    waiting text COLLATE "C" NOT NULL,
    wanted bigint NOT NULL,
    requeued bigint NOT NULL,
    delivered bigint NOT NULL,
    failed bigint NOT NULL,
    changed_at bigint NOT NULL,
    due_at bigint,
    ended_at bigint,
    PRIMARY KEY (merchant_id, endpoint_id, resend_id)
);

CREATE INDEX resend_endpoints_of_resend ON resend_endpoints (resend_id, merchant_id, endpoint_id);
CREATE INDEX resend_endpoints_due ON resend_endpoints (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX resends_of_actor ON resends (actor, id);

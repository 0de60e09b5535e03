-- merchant_id comes first in every key, so that the tables can be distributed by merchant or split into cells. There are
-- no foreign keys: they would cost a look-up per row on the hot path, and every write goes through the store's whole steps.
-- Text is compared byte by byte: ids are ordered by the time that they carry, whatever the database's language is.
-- Rows that change soon after they are written have room on their page, and the narrow tables that claims read are
-- vacuumed early: claims slow down tenfold when dead rows pile up.

CREATE TABLE merchants (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    return_origins text COLLATE "C" NOT NULL,
    looks text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

-- Apart from its merchant, whose row every create reads.
CREATE TABLE logos (
    merchant_id text COLLATE "C" PRIMARY KEY,
    digest text COLLATE "C" NOT NULL,
    image bytea NOT NULL
);

CREATE TABLE terminals (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    gateway_url text COLLATE "C" NOT NULL,
    return_base_url text COLLATE "C",
    enabled bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE tokens (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    storefront text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    scopes text COLLATE "C" NOT NULL,
    terminal_id text COLLATE "C",
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    amount_unit text COLLATE "C" NOT NULL,
    return_method text COLLATE "C" NOT NULL,
    any_https_return bigint NOT NULL,
    last_used_at bigint,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, digest)
);

CREATE TABLE endpoints (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    url text COLLATE "C" NOT NULL,
    storefront text COLLATE "C",
    event_types text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    headers text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    state_reason text COLLATE "C",
    state_since bigint NOT NULL,
    signatures text COLLATE "C" NOT NULL,
    key_number bigint NOT NULL,
    previous_until bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

-- Every sealed secret, whoever owns it: rotating the key that seals them is one scan.
CREATE TABLE secrets (
    merchant_id text COLLATE "C" NOT NULL,
    owner_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    kek_id text COLLATE "C" NOT NULL,
    blob bytea NOT NULL,
    PRIMARY KEY (merchant_id, owner_id, name)
);
CREATE INDEX secrets_by_kek ON secrets (kek_id);

CREATE TABLE audit (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    actor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    data text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, number)
);
CREATE INDEX audit_of_merchant ON audit (merchant_id, at, id);
CREATE INDEX audit_of_all ON audit (at, id);
CREATE INDEX audit_by_id ON audit (id);

-- Where each merchant's chain of audit entries ends; apart from them, so that cutting off the last ones shows.
CREATE TABLE audit_heads (
    merchant_id text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
);

-- Who runs Dargah. They are no merchant's.
CREATE TABLE operators (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Browsers' sessions. What a browser holds is not stored, only its digest.
CREATE TABLE sessions (
    merchant_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    embed_origin text COLLATE "C",
    created_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (merchant_id, digest)
);
CREATE INDEX sessions_that_end ON sessions (merchant_id, expires_at);

-- The intent of the create and its reply live in the payment's row: a create is then one insert, a replay one read.
CREATE TABLE payments (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    storefront text COLLATE "C" NOT NULL,
    terminal_id text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    amount_rials bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    metadata text COLLATE "C" NOT NULL,
    return_url text COLLATE "C",
    link text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    invoice_key text COLLATE "C",
    linked_at bigint,
    spare_invoice_keys text COLLATE "C",
    captured_invoice_keys text COLLATE "C",
    bank_code text COLLATE "C",
    captured_rials bigint,
    paid_at bigint,
    late bigint NOT NULL,
    failure text COLLATE "C",
    review text COLLATE "C",
    drop_in text COLLATE "C",
    idempotency_key text COLLATE "C" NOT NULL,
    request_digest bytea NOT NULL,
    lease_until bigint NOT NULL,
    reply_status bigint,
    reply_body bytea,
    traceparent text COLLATE "C",
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, storefront, mode, idempotency_key),
    UNIQUE (merchant_id, link)
) WITH (
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.05
);
CREATE INDEX payments_of_order ON payments (merchant_id, order_id, id);
CREATE INDEX payments_of_storefront ON payments (merchant_id, storefront, mode, id);
CREATE INDEX payments_with_status ON payments (merchant_id, status, id);

-- The claims of a payment on what only one payment may have. A row here is the uniqueness itself.
CREATE TABLE invoice_keys (
    merchant_id text COLLATE "C" NOT NULL,
    terminal_id text COLLATE "C" NOT NULL,
    invoice_key text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, terminal_id, invoice_key)
);

CREATE TABLE bank_codes (
    merchant_id text COLLATE "C" NOT NULL,
    bank_code text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, bank_code)
);

CREATE TABLE paid_orders (
    merchant_id text COLLATE "C" NOT NULL,
    storefront text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, storefront, mode, order_id)
);

CREATE TABLE watches (
    merchant_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    terminal_id text COLLATE "C" NOT NULL,
    due_at bigint NOT NULL,
    soon bigint,
    version bigint NOT NULL,
    PRIMARY KEY (merchant_id, payment_id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX watches_due ON watches (due_at);

CREATE TABLE timeline (
    merchant_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    duration_ms bigint,
    data text COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, payment_id, number)
);

CREATE TABLE event_sequences (
    merchant_id text COLLATE "C" PRIMARY KEY,
    last bigint NOT NULL
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500
);

-- Events, deliveries and attempts lie in partitions, each of one period of 30 days, which are dropped as a whole. part is
-- the period in which the event was made, as its id says, or the attempt was started; 0 is what outlives its period. The
-- rest holds that, and what came when its period had no partition, so that an insert never fails for the want of one.

-- One event per thing that happened to a payment: a payment has each version once. An event and its deliveries share part.
CREATE TABLE events (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    storefront text COLLATE "C",
    mode text COLLATE "C",
    type text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C",
    payment_version bigint,
    occurred_at bigint NOT NULL,
    body bytea NOT NULL,
    traceparent text COLLATE "C",
    part bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, id, part),
    UNIQUE (merchant_id, sequence, part),
    UNIQUE (merchant_id, payment_id, type, payment_version, part)
) PARTITION BY RANGE (part);
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE INDEX events_of_storefront ON events (merchant_id, storefront, mode, sequence);
CREATE INDEX events_of_type ON events (merchant_id, type, sequence);

-- due_at is set exactly while a delivery is pending. What is on its way just now stands in its endpoint's turn, and is not
-- yet counted in attempts. The schedule counts from scheduled_from, which a retry by hand moves up, to one beyond attempts
-- while the delivery is on its way.
CREATE TABLE deliveries (
    merchant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C",
    status text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    scheduled_from bigint NOT NULL,
    due_at bigint,
    created_at bigint NOT NULL,
    delivered_at bigint,
    part bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, id, part),
    UNIQUE (merchant_id, event_id, endpoint_id, part)
) PARTITION BY RANGE (part);
CREATE TABLE deliveries_rest PARTITION OF deliveries DEFAULT WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX deliveries_due ON deliveries (merchant_id, endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_of_endpoint ON deliveries (merchant_id, endpoint_id, status, id);

-- What claims read and write: one row per endpoint that is or was served. due_at is when its oldest delivery that waits is
-- due, but not before served_at, which puts an endpoint that was just served behind those that wait, and not before
-- paused_until; it is not set while the endpoint is held (paused or disabled), so that what is held is never looked at.
-- failures and failing_since say how it has been answering; an endpoint that is enabled again begins anew. in_flight is
-- what is on its way, at most 8: by delivery, [attempt, token, until, claimed at].
CREATE TABLE turns (
    merchant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    due_at bigint,
    served_at bigint NOT NULL,
    failures bigint NOT NULL DEFAULT 0,
    failing_since bigint,
    paused_until bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    in_flight text COLLATE "C" NOT NULL DEFAULT '{}',
    PRIMARY KEY (merchant_id, endpoint_id)
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX turns_due ON turns (due_at) WHERE due_at IS NOT NULL;

-- Written once, when an attempt has ended or its claim has run out.
CREATE TABLE attempts (
    merchant_id text COLLATE "C" NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    duration_ms bigint,
    outcome text COLLATE "C" NOT NULL,
    status bigint,
    error text COLLATE "C",
    excerpt bytea NOT NULL,
    part bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, delivery_id, number, part)
) PARTITION BY RANGE (part);
CREATE TABLE attempts_rest PARTITION OF attempts DEFAULT WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02
);
-- What an endpoint's figures are made of, without reading the excerpts; only attempts that have ended are in it.
CREATE INDEX attempts_of_endpoint ON attempts (merchant_id, endpoint_id, started_at, outcome, duration_ms)
    WHERE duration_ms IS NOT NULL;

-- Partitions are made and dropped by these, under locks that everybody else waits behind: they give up within less than the
-- second after which PostgreSQL looks for deadlocks and ends somebody's transaction. What was not done is tried another day.

-- A table is attached, not made as a partition: that takes no lock against readers and writers of the whole. The rest may
-- have rows of the period; then they stay there, and so do those to come.
CREATE FUNCTION make_part(tables text[], number bigint) RETURNS void LANGUAGE plpgsql SET lock_timeout = '700ms' AS $$
DECLARE
    whole text;
    leaf text;
    settings text;
BEGIN
    IF number <= 0 OR to_regclass(tables[1] || '_' || number) IS NOT NULL THEN
        RETURN;
    END IF;
    FOREACH whole IN ARRAY tables LOOP
        leaf := whole || '_' || number;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', leaf, whole);
        SELECT array_to_string(reloptions, ', ') INTO settings FROM pg_class WHERE oid = to_regclass(whole || '_rest');
        IF settings IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I SET (%s)', leaf, settings);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', whole, leaf, number, number + 1);
    END LOOP;
EXCEPTION WHEN check_violation OR lock_not_available OR deadlock_detected THEN
    NULL;
END
$$;

CREATE FUNCTION make_parts(first bigint, last bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR number IN first..last LOOP
        PERFORM make_part(ARRAY['events', 'deliveries'], number);
        PERFORM make_part(ARRAY['attempts'], number);
    END LOOP;
END
$$;

-- Once it has its locks nobody can ask for a delivery of the period any more: what is asked for before, it sees.
CREATE FUNCTION drop_events(number bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '700ms' AS $$
DECLARE
    wanted boolean;
BEGIN
    LOCK TABLE ONLY events, ONLY deliveries IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM endpoints AS p CROSS JOIN LATERAL (SELECT FROM %I WHERE merchant_id = p.merchant_id'
        ' AND endpoint_id = p.id AND status IN (''pending'', ''failed'') LIMIT 1) AS d)', 'deliveries_' || number
    ) INTO wanted;
    IF NOT wanted THEN
        EXECUTE format('DROP TABLE %I, %I', 'deliveries_' || number, 'events_' || number);
    END IF;
    RETURN NOT wanted;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR undefined_table THEN
    RETURN false;
END
$$;

CREATE FUNCTION drop_attempts(number bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '700ms' AS $$
BEGIN
    EXECUTE format('DROP TABLE %I', 'attempts_' || number);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR undefined_table THEN
    RETURN false;
END
$$;

CREATE TABLE heartbeat (
    id bigint PRIMARY KEY CHECK (id = 1),
    at bigint NOT NULL
) WITH (
    fillfactor = 10
);
INSERT INTO heartbeat VALUES (1, 0);

-- What restores leave to be done: to ask once more about what may have been paid since the moment that was gone back to.
CREATE TABLE rechecks (
    noted_at bigint PRIMARY KEY,
    moment bigint NOT NULL,
    due_at bigint NOT NULL,
    reached text COLLATE "C",
    unclear bigint NOT NULL
);

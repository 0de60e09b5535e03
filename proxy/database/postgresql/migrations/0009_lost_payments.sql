-- What a restore took away, and who asks for it since: customers by their links, storefronts by payments' ids.
-- oldest code: 8
CREATE TABLE restores (
    noted_at bigint PRIMARY KEY,
    moment bigint NOT NULL
);

CREATE TABLE lost_payments (
    merchant_id text COLLATE "C" NOT NULL,
    asked_by text COLLATE "C" NOT NULL,
    reference text COLLATE "C" NOT NULL,
    storefront text COLLATE "C",
    invoice_key text COLLATE "C",
    made_at bigint NOT NULL,
    first_asked_at bigint NOT NULL,
    last_asked_at bigint NOT NULL,
    times bigint NOT NULL,
    PRIMARY KEY (merchant_id, asked_by, reference)
);

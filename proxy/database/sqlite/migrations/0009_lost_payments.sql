-- What a restore took away, and who asks for it since: customers by their links, storefronts by payments' ids.
-- oldest code: 8
CREATE TABLE restores (
    noted_at INTEGER PRIMARY KEY,
    moment INTEGER NOT NULL
) STRICT;

CREATE TABLE lost_payments (
    merchant_id TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    reference TEXT NOT NULL,
    storefront TEXT,
    invoice_key TEXT,
    made_at INTEGER NOT NULL,
    first_asked_at INTEGER NOT NULL,
    last_asked_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, asked_by, reference)
) STRICT, WITHOUT ROWID;

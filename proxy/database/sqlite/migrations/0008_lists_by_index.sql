-- Every list is a stretch of one index: by storefront and mode, which each token is bound to, with status or type behind.
-- Two indexes take the places of two, so that a create pays for no more. Code before this one would scan without them.
CREATE INDEX IF NOT EXISTS payments_of_storefront_by_status ON payments (merchant_id, storefront, mode, status, id);
CREATE INDEX IF NOT EXISTS events_of_storefront_by_type ON events (merchant_id, storefront, mode, type, sequence);
DROP INDEX payments_of_storefront;
DROP INDEX events_of_type;
-- Few payments are under review: nobody else's create pays for these.
CREATE INDEX IF NOT EXISTS payments_in_review ON payments (bank_code, merchant_id) WHERE status = 'needs_review';
CREATE INDEX IF NOT EXISTS reviews_open ON payments (merchant_id, status, id) WHERE review LIKE '%"resolution":null%';
-- What the planner takes tables to hold. Where it knows nothing it believes that a merchant has ten rows of anything, and
-- reads all of a merchant's deliveries for those of one event. Said once, plans do not depend on what a file holds.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('merchants', 'merchants', '100 1'),
    ('terminals', 'terminals', '400 4 1'),
    ('tokens', 'tokens', '400 4 1'),
    ('tokens', 'sqlite_autoindex_tokens_2', '400 4 1'),
    ('endpoints', 'endpoints', '400 4 1'),
    ('turns', 'turns', '400 4 1'),
    ('turns', 'turns_due', '100 1'),
    ('secrets', 'secrets', '1000 10 2 1'),
    ('secrets', 'secrets_by_kek', '1000 500'),
    ('sessions', 'sessions', '1000 10 1'),
    ('sessions', 'sessions_that_end', '1000 10 1'),
    ('audit', 'sqlite_autoindex_audit_1', '100000 1000 1'),
    ('audit', 'sqlite_autoindex_audit_2', '100000 1000 1'),
    ('audit', 'audit_of_merchant', '100000 1000 2 1'),
    ('audit', 'audit_of_all', '100000 2 1'),
    ('audit', 'audit_by_id', '100000 1'),
    ('payments', 'sqlite_autoindex_payments_1', '1000000 100000 1'),
    ('payments', 'sqlite_autoindex_payments_2', '1000000 100000 50000 25000 1'),
    ('payments', 'sqlite_autoindex_payments_3', '1000000 100000 1'),
    ('payments', 'payments_of_order', '1000000 100000 2 1'),
    ('payments', 'payments_with_status', '1000000 100000 15000 1'),
    ('payments', 'payments_of_storefront_by_status', '1000000 100000 50000 25000 4000 1'),
    ('payments', 'payments_in_review', '10000 2 1'),
    ('payments', 'reviews_open', '1000 100 100 1'),
    ('invoice_keys', 'invoice_keys', '1000000 100000 25000 1'),
    ('bank_codes', 'bank_codes', '1000000 100000 1'),
    ('paid_orders', 'paid_orders', '1000000 100000 50000 25000 1'),
    ('watches', 'watches', '200000 20000 1'),
    ('watches', 'watches_due', '200000 2'),
    ('timeline', 'timeline', '3000000 300000 3 1'),
    ('events', 'sqlite_autoindex_events_1', '1000000 100000 1'),
    ('events', 'sqlite_autoindex_events_2', '1000000 100000 1'),
    ('events', 'sqlite_autoindex_events_3', '1000000 100000 2 2 1'),
    ('events', 'events_of_storefront', '1000000 100000 50000 25000 1'),
    ('events', 'events_of_storefront_by_type', '1000000 100000 50000 25000 4000 1'),
    ('deliveries', 'deliveries', '1000000 100000 1'),
    ('deliveries', 'sqlite_autoindex_deliveries_2', '1000000 100000 2 1 1'),
    ('deliveries', 'deliveries_due', '10000 1000 250 2'),
    ('deliveries', 'deliveries_of_endpoint', '1000000 100000 25000 7000 1'),
    ('attempts', 'attempts', '1200000 120000 2 1'),
    ('attempts', 'attempts_of_endpoint', '1200000 120000 30000 2 1 1');
ANALYZE sqlite_schema;

-- Every list is a stretch of one index: by storefront and mode, which each token is bound to, with status or type behind.
-- Two indexes take the places of two, so that a create pays for no more. Code before this one would scan without them.
CREATE INDEX IF NOT EXISTS payments_of_storefront_by_status ON payments (merchant_id, storefront, mode, status, id);
CREATE INDEX IF NOT EXISTS events_of_storefront_by_type ON events (merchant_id, storefront, mode, type, sequence);
DROP INDEX payments_of_storefront;
DROP INDEX events_of_type;
-- Few payments are under review: nobody else's create pays for these.
CREATE INDEX IF NOT EXISTS payments_in_review ON payments (bank_code, merchant_id) WHERE status = 'needs_review';
CREATE INDEX IF NOT EXISTS reviews_open ON payments (merchant_id, status, id) WHERE review LIKE '%"resolution":null%';

-- Filters of the console's lists that operators keep by a name, some of them for everyone.
-- oldest code: 8
CREATE TABLE saved_filters (
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    list TEXT NOT NULL,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    shared INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, list, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX saved_filters_by_id ON saved_filters (id);

CREATE INDEX saved_filters_shared ON saved_filters (list, name) WHERE shared = 1;

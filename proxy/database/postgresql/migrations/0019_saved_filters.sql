-- Filters of the console's lists that operators keep by a name, some of them for everyone.
-- oldest code: 8
CREATE TABLE saved_filters (
    id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    owner_name text COLLATE "C" NOT NULL,
    list text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    query text COLLATE "C" NOT NULL,
    shared bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (owner, list, name)
);

CREATE INDEX saved_filters_by_id ON saved_filters (id);

CREATE INDEX saved_filters_shared ON saved_filters (list, name) WHERE shared = 1;

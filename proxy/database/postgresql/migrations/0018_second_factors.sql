-- A second factor of operators who log in by token: the last step whose code was used, recovery codes by their digests,
-- and wrong codes by browser. `browser` is empty for all that have not logged in before. A session names the second
-- factor that it was proven by. The secrets of second factors lie sealed in `secrets`.
-- oldest code: 8
CREATE TABLE second_factors (
    operator text COLLATE "C" PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    enrolled_at bigint NOT NULL,
    last_step bigint NOT NULL
);

CREATE TABLE recovery_codes (
    factor_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (factor_id, digest)
);

CREATE TABLE code_guesses (
    factor_id text COLLATE "C" NOT NULL,
    browser text COLLATE "C" NOT NULL,
    since bigint NOT NULL,
    guesses bigint NOT NULL,
    PRIMARY KEY (factor_id, browser)
);

ALTER TABLE sessions ADD COLUMN second_factor text COLLATE "C";

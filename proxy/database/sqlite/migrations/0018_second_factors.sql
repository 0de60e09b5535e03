-- A second factor of operators who log in by token: the last step whose code was used, recovery codes by their digests,
-- and wrong codes by browser. `browser` is empty for all that have not logged in before. A session names the second
-- factor that it was proven by. The secrets of second factors lie sealed in `secrets`.
-- oldest code: 8
CREATE TABLE second_factors (
    operator TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL,
    last_step INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    factor_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (factor_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE code_guesses (
    factor_id TEXT NOT NULL,
    browser TEXT NOT NULL,
    since INTEGER NOT NULL,
    guesses INTEGER NOT NULL,
    PRIMARY KEY (factor_id, browser)
) STRICT, WITHOUT ROWID;

ALTER TABLE sessions ADD COLUMN second_factor TEXT;

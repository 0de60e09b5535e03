-- name: insert_second_factor
-- A second factor of the operator of a token, unless that is over or the operator has one.
INSERT INTO second_factors (operator, id, enrolled_at, last_step)
SELECT name, $1, $2, $3 FROM operators
WHERE id = $4 AND (revoked_at IS NULL OR revoked_at > $2) AND (expires_at IS NULL OR expires_at > $2)
ON CONFLICT (operator) DO NOTHING;

-- name: second_factor
-- Whether there is a second factor still.
SELECT id FROM second_factors WHERE id = $1;

-- name: second_factor_of_operator
-- The second factor of an operator's name.
SELECT id FROM second_factors WHERE operator = $1;

-- name: use_step
-- Takes a step whose code was right, unless that one or a later one was taken.
UPDATE second_factors SET last_step = $2 WHERE id = $1 AND last_step < $2;

-- name: delete_second_factor
-- Removes a second factor.
DELETE FROM second_factors WHERE id = $1;

-- name: forget_guesses
-- Forgets the guesses of browsers whose time began so long ago.
DELETE FROM code_guesses WHERE factor_id = $1 AND since <= $2;

-- name: count_guess
-- Counts a browser's guess at a code, unless it has had all of them.
INSERT INTO code_guesses (factor_id, browser, since, guesses) VALUES ($1, $2, $3, 1)
ON CONFLICT (factor_id, browser) DO UPDATE SET guesses = code_guesses.guesses + 1
WHERE code_guesses.guesses < $4;

-- name: give_back_guess
-- A right code is no guess.
UPDATE code_guesses SET guesses = guesses - 1 WHERE factor_id = $1 AND browser = $2;

-- name: guesses_of_browser
-- How many guesses a browser has had, and since when.
SELECT guesses, since FROM code_guesses WHERE factor_id = $1 AND browser = $2;

-- name: delete_guesses
-- Removes all counts of a second factor.
DELETE FROM code_guesses WHERE factor_id = $1;

-- name: insert_recovery_code
-- A recovery code, by its digest.
INSERT INTO recovery_codes (factor_id, digest) VALUES ($1, $2);

-- name: recovery_code
-- Whether there is such a recovery code still.
SELECT digest FROM recovery_codes WHERE factor_id = $1 AND digest = $2;

-- name: use_recovery_code
-- Uses a recovery code up.
DELETE FROM recovery_codes WHERE factor_id = $1 AND digest = $2;

-- name: count_recovery_codes
-- How many recovery codes are left.
SELECT count(*) FROM recovery_codes WHERE factor_id = $1;

-- name: delete_recovery_codes
-- Removes all recovery codes of a second factor.
DELETE FROM recovery_codes WHERE factor_id = $1;

-- name: prove_session
-- Notes the second factor that a session was proven by.
UPDATE sessions SET second_factor = $3 WHERE merchant_id = $1 AND digest = $2;

-- name: end_sessions_of_operator
-- Ends the sessions that an operator's tokens opened, but one. Those of the provider have a role.
DELETE FROM sessions WHERE merchant_id = $1 AND name = $2 AND role IS NULL AND digest <> $3;

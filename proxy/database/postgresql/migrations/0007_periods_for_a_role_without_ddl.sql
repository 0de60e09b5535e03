-- Who runs Dargah need not own the tables: these three run with the owner's rights, so that such a role has the partitions
-- of the next periods made and those that are over dropped, and can change nothing else of the schema. Nobody but their
-- owner runs them until `dargah migrate --grant` lets a role. Tables that are temporary, which any role can make, come last.
-- oldest code: 4
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
ALTER FUNCTION make_parts(bigint, bigint) SECURITY DEFINER SET search_path FROM CURRENT;
ALTER FUNCTION drop_events(bigint) SECURITY DEFINER SET search_path FROM CURRENT;
ALTER FUNCTION drop_attempts(bigint) SECURITY DEFINER SET search_path FROM CURRENT;
REVOKE EXECUTE ON FUNCTION make_parts(bigint, bigint), drop_events(bigint), drop_attempts(bigint) FROM PUBLIC;

-- Reading what the server knows about everybody.
SELECT rolname FROM pg_roles
SELECT relname FROM pg_catalog.pg_class
SELECT * FROM pg_stat_activity
SELECT table_schema FROM information_schema.tables
WITH pg_class AS (SELECT 1) SELECT * FROM pg_class
SELECT '{other}.secret'::regclass::text
SELECT '{other}'::regnamespace::oid
SELECT '{other}'::regrole::oid
SELECT pg_relation_size('{other}.secret')
SELECT has_table_privilege('{other}.secret', 'select')
SELECT to_regclass('{other}.secret')
SELECT current_user
SELECT session_user
SELECT current_schema
SELECT current_setting('role')
SELECT version()

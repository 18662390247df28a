-- Settings that steer the session, the planner, the log or the role.
SET SESSION statement_timeout = 0
SET LOCAL lock_timeout = 0
SET idle_in_transaction_session_timeout = 0
SET LOCAL transaction_timeout = 0
SET search_path TO {other}, pg_catalog
SET LOCAL search_path = "{other}"
SET SCHEMA '{other}'
SET NAMES 'latin1'
SET client_encoding = 'SQL_ASCII'
SET standard_conforming_strings = off
SET LOCAL backslash_quote = on
SET ROLE NONE
SET ROLE 'none'
SET LOCAL role = '{other}'
SET "role" = '{other}'
SET SESSION ROLE {other}
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET TRANSACTION SNAPSHOT '00000003-0000001B-1'
SET TRANSACTION READ WRITE
SET CONSTRAINTS ALL DEFERRED
SET session_authorization = '{other}'
SET LOCAL SESSION AUTHORIZATION DEFAULT
SET row_security = off
SET default_transaction_read_only = on
SET session_replication_role = replica
SET log_statement = 'none'
SET LOCAL temp_file_limit = -1
SET maintenance_work_mem = '10GB'
SET local_preload_libraries = 'x'
SET dynamic_library_path = '/tmp'
SET application_name = 'x'
SET x.y = 'z'
RESET search_path
RESET statement_timeout
RESET role
RESET TIME ZONE
ALTER SYSTEM SET shared_preload_libraries = 'x'
ALTER DATABASE terrace SET search_path = '{other}'
ALTER ROLE CURRENT_USER SET search_path = '{other}'
ALTER ROLE ALL SET statement_timeout = 0
ALTER USER CURRENT_USER PASSWORD 'x'
SELECT set_config('search_path', '{other}', false)
SELECT set_config('statement_timeout', '0', true)
SELECT set_config('session_authorization', '{other}', false)
SELECT set_config('r' || 'ole', '{other}', true)
SELECT set_config($1, '{other}', false) -- $1: role
SELECT "set_config"('role', '{other}', false)
SELECT SET_CONFIG('role', '{other}', false)
SELECT pg_catalog."set_config"('role', '{other}', false)
SELECT U&"set\005Fconfig"('role', '{other}', false)
SELECT set_config(setting_name => 'role', new_value => '{other}', is_local => false)
SELECT set_config(VARIADIC ARRAY['role', '{other}', 'f'])
SELECT * FROM set_config('role', '{other}', false)
SELECT * FROM items, LATERAL set_config('role', '{other}', false)
SELECT * FROM ROWS FROM (set_config('role', '{other}', false), generate_series(1, 2))
SELECT count(*) FILTER (WHERE set_config('role', '{other}', false) = '') FROM items
SELECT string_agg(set_config('role', '{other}', false), '') FROM generate_series(1, 2)
SELECT (ARRAY[1, 2])[set_config('role', '{other}', false)::int]
SELECT 1 LIMIT (SELECT length(set_config('role', '{other}', false)))
SELECT 1 OFFSET length(set_config('role', '{other}', false))
SELECT 1 ORDER BY set_config('role', '{other}', false)
SELECT 1 GROUP BY set_config('role', '{other}', false)
SELECT 1 HAVING set_config('role', '{other}', false) <> ''
SELECT sum(1) OVER (PARTITION BY set_config('role', '{other}', false))
SELECT sum(1) OVER (ROWS BETWEEN length(set_config('role', '{other}', false)) PRECEDING AND CURRENT ROW)
SELECT CASE set_config('role', '{other}', false) WHEN '' THEN 1 END
SELECT coalesce(NULL, set_config('role', '{other}', false))
SELECT greatest(set_config('role', '{other}', false), 'a')
SELECT nullif(set_config('role', '{other}', false), 'a')
SELECT ROW(set_config('role', '{other}', false))
SELECT set_config('role', '{other}', false) COLLATE "C"
SELECT set_config('role', '{other}', false)::int
SELECT set_config('role', '{other}', false) IS NULL
SELECT 'a' IN (set_config('role', '{other}', false))
SELECT EXISTS (SELECT set_config('role', '{other}', false))
SELECT ARRAY(SELECT set_config('role', '{other}', false))
VALUES (set_config('role', '{other}', false))
SELECT DISTINCT ON (set_config('role', '{other}', false)) 1
SELECT 1 UNION SELECT length(set_config('role', '{other}', false))
SELECT * FROM items JOIN items j ON set_config('role', '{other}', false) = ''
SELECT * FROM items TABLESAMPLE BERNOULLI (length(set_config('role', '{other}', false)))
UPDATE items SET title = set_config('role', '{other}', false)
DELETE FROM items WHERE set_config('role', '{other}', false) = ''
INSERT INTO items (title) VALUES ('x') RETURNING set_config('role', '{other}', false)
INSERT INTO items (title) SELECT set_config('role', '{other}', false)
SELECT now() AT TIME ZONE concat('UTC', left(set_config('role', '{other}', false), 0))
SELECT overlay('abc' PLACING set_config('role', '{other}', false) FROM 1)
SELECT trim(set_config('role', '{other}', false))
SELECT format('%s', set_config('role', '{other}', false))

-- These pass the guard. Bound to the schema of whoever sends them they must show nothing of anybody else.
SELECT secret FROM secret
SELECT * FROM "secret"
TABLE secret
SELECT * FROM U&"\0073ecret"
SELECT secret.secret FROM secret
SELECT s FROM secret s
SELECT s::text FROM secret s
SELECT s.text FROM secret s
SELECT s.row_to_json FROM secret s
SELECT s.num_nulls FROM secret s
SELECT s.pg_typeof FROM secret s
SELECT s.pg_column_size FROM secret s
SELECT s.set_config FROM secret s
SELECT s.current_setting FROM secret s
SELECT x.set_config FROM (VALUES ('role', '{other}', false)) AS x(a, b, c)
SELECT x.current_setting FROM (SELECT 'role'::text) AS x
SELECT x.to_regclass FROM (SELECT '{other}.secret'::text) AS x
SELECT 1 -- ' ; RESET ROLE
SELECT '; RESET ROLE'
SELECT $a$ '; SET ROLE {other}; $a$
SELECT '{other}.secret'
SELECT "{other}.secret".secret FROM secret AS "{other}.secret"
SELECT {other}.secret FROM secret AS {other}
SELECT * FROM secret AS {other}(id, secret)
WITH {other} AS (SELECT * FROM secret) SELECT * FROM {other}
WITH secret AS (SELECT 'mine' AS secret) SELECT secret FROM secret
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
WITH secret AS (SELECT 1) INSERT INTO items (title) SELECT secret FROM secret RETURNING title
SELECT * FROM (WITH secret AS (SELECT 1) SELECT 2) x, secret
SELECT * FROM secret, LATERAL (SELECT secret.secret) s
SELECT * FROM secret FOR UPDATE
SELECT nextval('secret_id_seq')
SELECT currval('secret_id_seq')
UPDATE secret SET secret = secret RETURNING secret
DELETE FROM secret WHERE false RETURNING secret
SELECT $1 -- $1: {other}.secret
SELECT $1::text || '; RESET ROLE' -- $1: {other}
SELECT jsonb_agg(s) FROM secret s
SELECT to_jsonb(s) FROM secret s
SELECT array_agg(s.secret) FROM secret s
SELECT * FROM unnest(ARRAY(SELECT secret FROM secret)) AS u(x)
SELECT NULL::secret
SELECT jsonb_populate_record(NULL::secret, '{"secret": "x"}')
SELECT * FROM ONLY secret
SELECT * FROM secret*
SELECT 1 /* {other}.secret */
SELECT {repeat 40 (}(SELECT secret FROM secret LIMIT 1){repeat 40 )}

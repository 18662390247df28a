-- Calling a function that does not look like a call.
SELECT ('role'::text).current_setting
SELECT u.current_setting FROM unnest(ARRAY['role']) u
SELECT current_setting.current_setting FROM unnest(ARRAY['role']) AS current_setting(x)
SELECT x.pg_sleep FROM generate_series(1, 1) x
SELECT (ARRAY['role'])[1].current_setting
SELECT t.pg_ls_dir FROM unnest(ARRAY['.']) WITH ORDINALITY AS t
SELECT 1 ORDER BY 1 USING OPERATOR({other}.<)
SELECT * FROM items ORDER BY (SELECT ('role'::text).current_setting)
SELECT "nullif".current_setting FROM nullif('role'::text, 'x')
SELECT "greatest".current_setting FROM greatest('role'::text)
SELECT * FROM ROWS FROM (greatest('role'::text)) AS current_setting
SELECT "least".pg_get_userbyid FROM least(CAST(10 AS int4))
SELECT "coalesce".pg_relation_size FROM coalesce('items'::text)
SELECT text.current_setting FROM CAST('role' AS text)
SELECT * FROM current_date
SELECT x.pg_read_file FROM unnest(ARRAY['PG_VERSION']) x
SELECT x.pg_cancel_backend FROM generate_series(1, 2) AS x
SELECT x.to_regclass FROM unnest(ARRAY['{other}.secret']) x
SELECT x.regclass FROM unnest(ARRAY['{other}.secret']) x
SELECT x.pg_relation_size FROM unnest(ARRAY['{other}.secret']) x
SELECT x.pg_notify FROM unnest(ARRAY['a']) x
SELECT ('{other}.secret'::text).to_regclass
SELECT ('{other}.secret').regclass
SELECT (1).pg_sleep
SELECT (SELECT 'role'::text).current_setting
SELECT (ARRAY[1]).pg_sleep
SELECT (NULL::items).secret.current_setting
SELECT (x).current_setting FROM unnest(ARRAY['role']) x
SELECT x.current_setting FROM string_to_table('role', ',') x
SELECT x.current_setting FROM regexp_split_to_table('role', ',') AS x
SELECT x.current_setting FROM jsonb_array_elements_text('["role"]') x
SELECT x.current_setting FROM ROWS FROM (unnest(ARRAY['role'])) AS x
SELECT x.current_setting FROM LATERAL unnest(ARRAY['role']) x
SELECT 1 FROM unnest(ARRAY['role']) x WHERE x.current_setting = ''
SELECT 1 FROM unnest(ARRAY['role']) x ORDER BY x.current_setting
SELECT count(*) FILTER (WHERE x.current_setting = '') FROM unnest(ARRAY['role']) x
SELECT (SELECT x.current_setting) FROM unnest(ARRAY['role']) x
INSERT INTO items (title) SELECT x.current_setting FROM unnest(ARRAY['role']) x
UPDATE items SET title = x.current_setting FROM unnest(ARRAY['role']) x
DELETE FROM items USING unnest(ARRAY['role']) x WHERE x.current_setting = title
WITH a AS (SELECT x.current_setting FROM unnest(ARRAY['role']) x) TABLE a
SELECT x.* FROM current_setting('role') x
SELECT current_setting FROM current_setting('role')
SELECT pg_sleep FROM pg_sleep(0)

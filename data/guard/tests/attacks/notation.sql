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

-- Calling a function that does not look like a call.
SELECT ('role'::text).current_setting
SELECT u.current_setting FROM unnest(ARRAY['role']) u
SELECT current_setting.current_setting FROM unnest(ARRAY['role']) AS current_setting(x)
SELECT x.pg_sleep FROM generate_series(1, 1) x
SELECT (ARRAY['role'])[1].current_setting
SELECT t.pg_ls_dir FROM unnest(ARRAY['.']) WITH ORDINALITY AS t
SELECT 1 ORDER BY 1 USING OPERATOR({other}.<)
SELECT * FROM items ORDER BY (SELECT ('role'::text).current_setting)

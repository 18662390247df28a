-- Text that something else runs as SQL.
SELECT query_to_xml('select set_config(''role'', ''{other}'', false)', true, true, '')
SELECT table_to_xml('{other}.secret'::regclass, true, true, '')
SELECT schema_to_xml('{other}', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT * FROM ts_stat('select to_tsvector(set_config(''role'', ''{other}'', false))')
SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, (select secret from {other}.secret limit 1)::tsquery')
DO $$ BEGIN EXECUTE 'SET ROLE {other}'; END $$
DO $$ BEGIN PERFORM set_config('role', '{other}', false); END $$
PREPARE a AS SELECT * FROM {other}.secret
EXECUTE a
EXPLAIN ANALYZE SELECT * FROM {other}.secret

-- Code that runs inside the server: languages, functions, triggers, rules, views, extensions.
DO LANGUAGE plpgsql $$ BEGIN PERFORM 1; END $$
DO LANGUAGE sql 'select 1'
DO $$ DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'select secret from {other}.secret'; END $$
DO $$ BEGIN COMMIT; END $$
DO $$ BEGIN RESET ROLE; END $$
DO $$ BEGIN SET LOCAL ROLE {other}; RAISE EXCEPTION '%', (SELECT secret FROM {other}.secret LIMIT 1); END $$
DO $$ BEGIN EXECUTE 'set role {other}'; RAISE NOTICE '%', (SELECT secret FROM {other}.secret LIMIT 1); END $$
CALL {other}.p()
CALL pg_catalog.set_config('role', '{other}', false)
CREATE FUNCTION f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'select secret from {other}.secret'
CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql SET role = '{other}' AS 'begin end'
CREATE PROCEDURE p() LANGUAGE sql AS 'reset role'
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END
CREATE FUNCTION f(cstring) RETURNS int LANGUAGE c AS 'libc.so.6', 'system'
CREATE AGGREGATE a (int) (sfunc = int4pl, stype = int)
CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()
CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()
CREATE RULE r AS ON INSERT TO items DO ALSO SELECT * FROM {other}.secret
CREATE VIEW v AS SELECT * FROM {other}.secret
CREATE MATERIALIZED VIEW v AS SELECT * FROM {other}.secret
CREATE EXTENSION postgres_fdw
CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw
CREATE FOREIGN TABLE t (a int) SERVER s
CREATE USER MAPPING FOR CURRENT_USER SERVER s
IMPORT FOREIGN SCHEMA {other} FROM SERVER s INTO {other}
CREATE OPERATOR + (leftarg = int, rightarg = int, procedure = int4pl)
CREATE CAST (text AS int) WITH INOUT AS IMPLICIT
CREATE COLLATION c FROM "C"
CREATE TEXT SEARCH DICTIONARY d (template = synonym, synonyms = '/etc/passwd')
CREATE LANGUAGE plperlu
LOAD 'auto_explain'
LOAD '/tmp/x.so'
SELECT pg_catalog.pg_read_binary_file('/etc/passwd')
SELECT * FROM pg_ls_logdir()
SELECT * FROM pg_ls_waldir()
SELECT pg_stat_file('/etc/passwd')
SELECT pg_current_logfile()
SELECT pg_file_write('/tmp/x', 'x', false)
SELECT lo_import('/etc/passwd', 1)
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_promote()
SELECT pg_switch_wal()
SELECT pg_create_restore_point('x')
SELECT pg_backup_start('x')
SELECT pg_wal_replay_pause()
SELECT pg_create_logical_replication_slot('x', 'test_decoding')
SELECT * FROM pg_logical_slot_get_changes('x', NULL, NULL)
SELECT pg_create_physical_replication_slot('x')
SELECT pg_logical_emit_message(false, 'a', 'b')
SELECT pg_replication_origin_create('x')
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION 'dbname=terrace' PUBLICATION p
SELECT binary_upgrade_set_next_pg_type_oid(1::oid)
SELECT pg_nextoid('pg_class', 'oid', 'pg_class_oid_index')
SELECT pg_import_system_collations('pg_catalog')
SELECT brin_summarize_new_values('{other}.secret_pkey'::regclass)
SELECT gin_clean_pending_list('{other}.secret_pkey'::regclass)
SELECT currtid2('{other}.secret', '(0,1)')
SELECT pg_relation_filepath('{other}.secret')
SELECT pg_filenode_relation(0, 1)
SELECT pg_input_error_info('x', 'regclass')
SELECT pg_input_is_valid('{other}.secret', 'regclass')
SELECT to_regtypemod('{other}.secret')
SELECT pg_basetype('{other}.secret'::regtype)
SELECT pg_get_acl('pg_class'::regclass, '{other}.secret'::regclass, 0)
SELECT pg_available_wal_summaries()
SELECT satisfies_hash_partition(1, 2, 0, 1)
SELECT text(1)
SELECT int4out(1)
SELECT array_in('{1}', 23, -1)
SELECT record_in('(1)', 2249, -1)
SELECT domain_in('x', 1, -1)
SELECT textin('a')
SELECT regclassin('{other}.secret')
SELECT float8_accum('{1,2,3}', 1)
SELECT internal_in('x')
SELECT bytea_sortsupport(NULL)
SELECT RI_FKey_check_ins()
SELECT suppress_redundant_updates_trigger()

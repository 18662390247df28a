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
SELECT * FROM pg_authid
SELECT rolpassword FROM pg_catalog.pg_authid
SELECT * FROM pg_shadow
SELECT * FROM pg_user
SELECT * FROM pg_auth_members
SELECT * FROM pg_settings
SELECT * FROM pg_db_role_setting
SELECT * FROM pg_hba_file_rules
SELECT most_common_vals FROM pg_stats WHERE schemaname = '{other}'
SELECT * FROM pg_statistic
SELECT * FROM pg_stats_ext
SELECT attname FROM pg_attribute WHERE attrelid = '{other}.secret'::regclass
SELECT reltuples FROM pg_class WHERE relnamespace = '{other}'::regnamespace
SELECT prosrc FROM pg_proc
SELECT query FROM pg_stat_statements
SELECT * FROM pg_locks
SELECT * FROM pg_sequences
SELECT last_value FROM pg_catalog.pg_sequences WHERE schemaname = '{other}'
SELECT * FROM pg_largeobject
SELECT * FROM pg_prepared_xacts
SELECT * FROM pg_cursors
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_publication_tables
SELECT subconninfo FROM pg_subscription
SELECT * FROM pg_stat_replication
SELECT * FROM pg_shmem_allocations
SELECT * FROM pg_backend_memory_contexts
SELECT * FROM pg_file_settings
SELECT * FROM pg_timezone_names
SELECT * FROM information_schema.columns WHERE table_schema = '{other}'
SELECT * FROM information_schema.role_table_grants
SELECT * FROM information_schema.enabled_roles
SELECT * FROM "pg_catalog"."pg_roles"
SELECT * FROM terrace.tenant
SELECT * FROM terrace_events.log
SELECT * FROM terrace.operator
SELECT current_catalog
SELECT user
SELECT current_role
SELECT current_schemas(true)
SELECT current_database()
SELECT has_schema_privilege('{other}', 'usage')
SELECT has_column_privilege('{other}.secret', 'secret', 'select')
SELECT has_database_privilege(current_database(), 'temp')
SELECT pg_has_role('{other}', 'member')
SELECT pg_get_userbyid(10)
SELECT pg_get_viewdef('pg_roles'::regclass)
SELECT pg_get_serial_sequence('{other}.secret', 'id')
SELECT pg_get_constraintdef(oid) FROM pg_constraint
SELECT pg_describe_object(1259, 1259, 0)
SELECT pg_identify_object(1259, 1259, 0)
SELECT obj_description('{other}.secret'::regclass)
SELECT col_description(1259, 1)
SELECT format_type(1259, NULL)
SELECT pg_table_is_visible('{other}.secret'::regclass)
SELECT pg_total_relation_size('{other}.secret')
SELECT pg_database_size(current_database())
SELECT pg_column_size(secret) FROM {other}.secret
SELECT pg_typeof(1)
SELECT row_security_active('{other}.secret')
SELECT inet_server_addr()
SELECT inet_client_addr()
SELECT pg_postmaster_start_time()
SELECT pg_backend_pid()
SELECT pg_conf_load_time()
SELECT pg_my_temp_schema()
SELECT pg_listening_channels()
SELECT pg_current_wal_lsn()
SELECT pg_last_committed_xact()
SELECT pg_xact_commit_timestamp('3'::xid)
SELECT pg_current_snapshot()
SELECT age(xmin) FROM pg_class
SELECT to_regrole('{other}')
SELECT to_regnamespace('{other}')
SELECT to_regtype('{other}.secret')
SELECT to_regproc('set_config')
SELECT * FROM aclexplode('{other}=r/{other}'::aclitem[])
SELECT makeaclitem(1, 1, 'SELECT', true)
SELECT acldefault('r', 10)
SHOW ALL
SHOW search_path
SHOW data_directory

-- Counters that say what others do, or can be reset for everybody.
SELECT pg_stat_reset()
SELECT pg_stat_reset_shared('bgwriter')
SELECT pg_stat_reset_single_table_counters('{other}.secret'::regclass)
SELECT pg_stat_clear_snapshot()
SELECT pg_stat_force_next_flush()
SELECT * FROM pg_stat_get_activity(NULL)
SELECT pg_stat_get_live_tuples('{other}.secret'::regclass)
SELECT pg_stat_get_tuples_inserted('{other}.secret'::regclass)
SELECT n_live_tup FROM pg_stat_user_tables WHERE schemaname = '{other}'
SELECT * FROM pg_statio_all_tables
SELECT * FROM pg_stat_all_indexes
SELECT * FROM pg_stat_database
SELECT * FROM pg_stat_io
SELECT * FROM pg_stat_xact_user_functions
SELECT pg_stat_get_backend_activity(1)
SELECT pg_log_backend_memory_contexts(1)
SELECT pg_restore_relation_stats('schemaname', '{other}', 'relname', 'secret', 'reltuples', 1::real)
SELECT pg_clear_relation_stats('{other}', 'secret')
SELECT * FROM pg_get_backend_memory_contexts()
SELECT * FROM pg_lock_status()
SELECT * FROM pg_blocking_pids(1)
SELECT pg_isolation_test_session_is_blocked(1, '{1}')

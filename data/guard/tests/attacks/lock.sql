-- Taking what all share: locks, time, memory.
LOCK TABLE items
LOCK TABLE {other}.secret IN ACCESS EXCLUSIVE MODE
SELECT pg_advisory_lock(1)
SELECT pg_advisory_xact_lock(n) FROM generate_series(1, 100000) n
SELECT pg_try_advisory_lock(1)
SELECT pg_sleep(100)
SELECT pg_export_snapshot()
SELECT pg_terminate_backend(1)
SELECT pg_cancel_backend(1)
SELECT txid_current()

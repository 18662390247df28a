-- Locks on rows of somebody else, and locks that are named by a schema.
SELECT * FROM {other}.secret FOR UPDATE
SELECT * FROM {other}.secret FOR NO KEY UPDATE NOWAIT
SELECT * FROM {other}.secret FOR SHARE SKIP LOCKED
SELECT * FROM {other}.secret s FOR KEY SHARE OF s
SELECT * FROM items, {other}.secret FOR UPDATE OF items
SELECT * FROM items FOR UPDATE OF {other}.items
SELECT 1 FROM (SELECT * FROM {other}.secret FOR UPDATE) s
WITH s AS (SELECT * FROM {other}.secret FOR UPDATE) SELECT 1 FROM s
SELECT * FROM items WHERE EXISTS (SELECT FROM {other}.secret FOR UPDATE)
LOCK TABLE ONLY {other}.secret IN SHARE MODE NOWAIT
LOCK {other}.secret, items
LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE
SELECT pg_advisory_lock_shared(1)
SELECT pg_advisory_xact_lock_shared(1, 2)
SELECT pg_try_advisory_xact_lock(1, 2)
SELECT pg_try_advisory_lock_shared(1)
SELECT pg_try_advisory_xact_lock_shared(1)
SELECT pg_advisory_unlock(1)
SELECT pg_advisory_unlock_all()
SELECT * FROM items WHERE pg_try_advisory_lock(id)
SELECT x.pg_advisory_lock FROM generate_series(1, 3) AS x
SELECT x.pg_try_advisory_lock FROM unnest(ARRAY[1::bigint]) x
SELECT pg_sleep_for('1 hour')
SELECT pg_sleep_until('infinity')
SELECT pg_sleep('1')
SELECT * FROM items WHERE pg_sleep(1) IS NULL

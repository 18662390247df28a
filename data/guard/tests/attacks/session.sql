-- Leaving something behind for whoever has the connection next, or for everybody.
SET statement_timeout = 0
SET LOCAL work_mem = '100GB'
SET search_path = {other}
SET TIME ZONE 'UTC'
LISTEN events
NOTIFY events
UNLISTEN *
SELECT pg_notify('events', 'x')
DECLARE c CURSOR WITH HOLD FOR SELECT 1
FETCH ALL FROM c
DISCARD ALL
DEALLOCATE ALL
CREATE TEMP TABLE a AS SELECT 1
SELECT * INTO a FROM items
SELECT 1 INTO TEMP a
SELECT lastval()

-- Large objects belong to the database, not to a schema.
SELECT lo_creat(-1)
SELECT lo_open(1, 131072)
SELECT loread(0, 100)
SELECT lowrite(0, 'x')
SELECT lo_put(1, 0, 'x')
SELECT lo_from_bytea(0, 'x')
SELECT lo_unlink(1)
SELECT lo_export(1, '/tmp/x')
SELECT lo_lseek64(0, 0, 0)
SELECT lo_truncate64(0, 0)
SELECT lo_get(oid) FROM pg_largeobject_metadata
SELECT data FROM pg_largeobject
SELECT x.lo_get FROM unnest(ARRAY[1::oid]) x
SELECT x.lo_unlink FROM (SELECT 1::oid) AS x(o)
ALTER LARGE OBJECT 1 OWNER TO {other}
COMMENT ON LARGE OBJECT 1 IS 'x'
GRANT SELECT ON LARGE OBJECT 1 TO PUBLIC

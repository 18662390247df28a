-- Types whose text form asks the catalogue, and types that are found by a schema.
SELECT 'pg_authid'::regclass
SELECT '{other}.secret'::regclass::oid
SELECT 'set_config'::regproc
SELECT 'set_config(text,text,boolean)'::regprocedure
SELECT '+(int4,int4)'::regoperator
SELECT '+'::regoper
SELECT 'int4'::regtype
SELECT 'english'::regconfig
SELECT 'english_stem'::regdictionary
SELECT 'C'::regcollation
SELECT 'postgres'::regdatabase
SELECT 16384::regclass::text
SELECT CAST(10 AS regrole)
SELECT regrole '{other}'
SELECT pg_catalog.regclass '{other}.secret'
SELECT ARRAY['{other}.secret']::regclass[]
SELECT '{{other}.secret}'::regclass[]
SELECT 1::oid
SELECT '(0,1)'::tid
SELECT '1'::xid8
SELECT 'a'::cstring
SELECT 'a'::name
SELECT 'x'::unknown
SELECT '{other}=r/{other}'::aclitem
SELECT '<a/>'::xml
SELECT '1'::money
SELECT 'a'::refcursor
SELECT NULL::{other}.secret
SELECT (NULL::{other}.secret).secret
SELECT ROW(1, 'x')::{other}.secret
SELECT '(1,x)'::{other}.secret
SELECT NULL::{other}.secret[]
SELECT NULL::"{other}"."_secret"
SELECT json_populate_record(NULL::{other}.secret, '{"secret": "x"}')
SELECT jsonb_populate_recordset(NULL::{other}.secret, '[]')
SELECT * FROM jsonb_to_record('{"a": 1}') AS t(a {other}.mood)
SELECT * FROM json_to_recordset('[]') AS t(a regclass)
SELECT 1::pg_catalog.oid
SELECT 'x'::pg_lsn
SELECT 'x'::pg_snapshot
SELECT 'x'::pg_node_tree
SELECT '1 2'::oidvector
SELECT NULL::information_schema.sql_identifier
SELECT NULL::{other}.secret.secret%TYPE
SELECT CAST('x' AS {other}.secret.secret%TYPE)
SELECT $1::regclass -- $1: {other}.secret
SELECT $1::regrole::oid -- $1: {other}
SELECT CAST($1 AS {other}.secret) -- $1: (1,x)
SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b {other}.mood)
INSERT INTO items (title) VALUES ('{other}.secret'::regclass::text)
SELECT CASE WHEN true THEN '{other}.secret'::regclass END
SELECT count(*) FILTER (WHERE '{other}.secret'::regclass IS NOT NULL) FROM items
SELECT 1 FROM items GROUP BY '{other}.secret'::regclass
SELECT 1 FROM items ORDER BY '{other}.secret'::regclass
SELECT 1 LIMIT '{other}.secret'::regclass::oid::bigint
SELECT '[1,2)'::{other}.range

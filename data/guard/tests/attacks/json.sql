-- SQL/JSON and JSON functions as a carrier of names, types and sub-selects.
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$'))
SELECT * FROM JSON_TABLE((SELECT jsonb_agg(secret) FROM {other}.secret), '$[*]' COLUMNS (a text PATH '$')) AS t
SELECT * FROM JSON_TABLE('[1]', '$[*]' PASSING (SELECT secret FROM {other}.secret LIMIT 1) AS s COLUMNS (a text PATH '$s'))
SELECT * FROM items, LATERAL JSON_TABLE('[1]', '$[*]' COLUMNS (a regclass PATH '$')) t
SELECT JSON_VALUE('{"a": "{other}.secret"}', '$.a' RETURNING regclass)
SELECT JSON_QUERY('{}', '$' RETURNING {other}.secret)
SELECT JSON_VALUE((SELECT to_jsonb(secret) FROM {other}.secret LIMIT 1), '$')
SELECT JSON_EXISTS((SELECT to_jsonb(secret) FROM {other}.secret LIMIT 1), '$')
SELECT JSON_OBJECT('a': (SELECT secret FROM {other}.secret LIMIT 1))
SELECT JSON_ARRAY(SELECT secret FROM {other}.secret)
SELECT JSON_ARRAYAGG(secret) FROM {other}.secret
SELECT JSON_OBJECTAGG('a': secret) FROM {other}.secret
SELECT JSON_SERIALIZE((SELECT to_json(secret) FROM {other}.secret LIMIT 1))
SELECT JSON_SCALAR((SELECT secret FROM {other}.secret LIMIT 1))
SELECT JSON('{}' WITH UNIQUE KEYS)
SELECT '{}' IS JSON OBJECT WITH UNIQUE KEYS
SELECT row_to_json(s) FROM {other}.secret s
SELECT to_jsonb(s) FROM {other}.secret s
SELECT json_agg(s) FROM {other}.secret s
SELECT jsonb_path_query((SELECT jsonb_agg(secret) FROM {other}.secret), '$[*]')
SELECT x.row_to_json FROM {other}.secret x
SELECT (jsonb_populate_record(NULL::{other}.secret, '{}')).secret
SELECT json_populate_record(NULL::pg_authid, '{}')

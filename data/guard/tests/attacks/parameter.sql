-- Parameters as a way in: their types are found by name, their texts by the type.
SELECT $1::regclass::text -- $1: {other}.secret
SELECT * FROM query_to_xml($1, true, true, '') -- $1: select secret from {other}.secret
SELECT * FROM ts_stat($1) -- $1: select to_tsvector(secret) from {other}.secret
SELECT current_setting($1) -- $1: role
SELECT pg_read_file($1) -- $1: PG_VERSION
SELECT set_config('role', $1, false) -- $1: {other}
SELECT set_config('role', $1::{other}.mood, false) -- $1: x
SELECT $1::{other}.secret -- $1: (1,x)
SELECT ($1::{other}.secret).secret -- $1: (1,x)
SELECT nextval($1::regclass) -- $1: {other}.secret_id_seq
SELECT currval($1) -- $1: {other}.secret_id_seq
SELECT to_regclass($1) -- $1: {other}.secret
SELECT has_table_privilege($1, 'select') -- $1: {other}.secret
SELECT pg_relation_size($1) -- $1: {other}.secret
SELECT lo_import($1) -- $1: /etc/passwd
SELECT pg_notify($1, 'x') -- $1: terrace
SELECT dblink($1, 'select 1') -- $1: dbname=terrace
SELECT * FROM {other}.secret WHERE secret = $1 -- $1: x
INSERT INTO {other}.secret (secret) VALUES ($1) RETURNING * -- $1: x
UPDATE {other}.secret SET secret = $1 RETURNING * -- $1: x
SET ROLE $1
EXECUTE a ($1)
DECLARE c CURSOR FOR SELECT secret FROM {other}.secret WHERE secret <> $1 -- $1: x
COPY (SELECT $1) TO STDOUT
DO $1

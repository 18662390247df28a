-- COPY in every direction.
COPY {other}.secret TO STDOUT
COPY {other}.secret (secret) TO STDOUT WITH (FORMAT csv, HEADER)
COPY (TABLE {other}.secret) TO STDOUT
COPY (SELECT secret FROM {other}.secret) TO STDOUT WITH (FORMAT binary)
COPY (DELETE FROM {other}.secret RETURNING *) TO STDOUT
COPY (SELECT set_config('role', '{other}', false)) TO STDOUT
COPY {other}.secret FROM STDIN
COPY {other}.secret FROM '/etc/passwd'
COPY items FROM '/etc/passwd'
COPY items FROM PROGRAM 'cat /etc/passwd'
COPY items TO '/tmp/items'
COPY (SELECT 1) TO PROGRAM 'sh'
COPY pg_authid TO STDOUT
COPY BINARY items TO STDOUT
COPY items TO STDOUT WITH (ON_ERROR ignore)

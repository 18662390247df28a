-- Becoming somebody else. `{other}` is the schema, and the role, of another tenant.
RESET ROLE
SET ROLE {other}
SET LOCAL ROLE {other}
SET SESSION AUTHORIZATION {other}
RESET SESSION AUTHORIZATION
RESET ALL
SELECT set_config('role', '{other}', false)
SELECT pg_catalog.set_config('role', '{other}', true) FROM items
WITH changed AS (SELECT set_config('role', '{other}', false)) SELECT * FROM changed
INSERT INTO items (title) VALUES (set_config('role', '{other}', false))

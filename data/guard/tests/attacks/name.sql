-- Naming what belongs to another schema.
SELECT * FROM {other}.secret
SELECT secret FROM "{other}"."secret"
SELECT (SELECT secret FROM {other}.secret LIMIT 1)
TABLE {other}.secret
WITH a AS (SELECT * FROM {other}.secret) SELECT * FROM a
INSERT INTO items (title) SELECT secret FROM {other}.secret
UPDATE items SET title = s.secret FROM {other}.secret s
DELETE FROM {other}.secret RETURNING secret
SELECT * FROM items, LATERAL (SELECT * FROM {other}.secret) s
SELECT 1 FROM items WHERE EXISTS (TABLE {other}.secret)
SELECT nextval('{other}.secret_id_seq')
SELECT nextval('"{other}"."secret_id_seq"'::regclass)
SELECT {other}.secret.secret FROM items
SELECT 1 OPERATOR({other}.+) 1
SELECT 'a'::{other}.mood
SELECT {other}.leak()
SELECT * FROM ROWS FROM ({other}.leak()) AS t
SELECT U&"\0073ecret" FROM U&"{other}"."secret"

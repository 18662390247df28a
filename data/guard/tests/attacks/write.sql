-- Writing to another schema, and reading by way of a write.
INSERT INTO {other}.secret (secret) VALUES ('x')
INSERT INTO {other}.secret (secret) VALUES ('x') RETURNING *
INSERT INTO "{other}".secret DEFAULT VALUES
INSERT INTO items (title) TABLE {other}.secret
INSERT INTO items (title) VALUES ((SELECT secret FROM {other}.secret LIMIT 1)) RETURNING title
INSERT INTO items (title) VALUES ('x') RETURNING (SELECT secret FROM {other}.secret LIMIT 1)
INSERT INTO items (title) VALUES ('x') ON CONFLICT (title) DO UPDATE SET title = (SELECT secret FROM {other}.secret LIMIT 1)
INSERT INTO items (title) VALUES ('x') ON CONFLICT (title) DO UPDATE SET title = 'y' WHERE EXISTS (TABLE {other}.secret)
UPDATE {other}.secret SET secret = 'x'
UPDATE ONLY {other}.secret SET secret = 'x' RETURNING *
UPDATE {other}.secret AS items SET secret = 'x'
UPDATE items SET title = (SELECT secret FROM {other}.secret LIMIT 1) RETURNING title
UPDATE items SET (title) = (SELECT secret FROM {other}.secret LIMIT 1)
UPDATE items SET title = title RETURNING (SELECT secret FROM {other}.secret LIMIT 1)
UPDATE items SET title = 'x' WHERE title IN (SELECT secret FROM {other}.secret)
UPDATE items SET title = 'x' WHERE CURRENT OF c
DELETE FROM {other}.secret
DELETE FROM ONLY "{other}".secret WHERE true
DELETE FROM items USING {other}.secret s WHERE items.title = s.secret RETURNING s.secret
DELETE FROM items WHERE title = (SELECT secret FROM {other}.secret LIMIT 1)
DELETE FROM items WHERE CURRENT OF c
WITH s AS (DELETE FROM {other}.secret RETURNING secret) SELECT * FROM s
WITH s AS (UPDATE {other}.secret SET secret = secret RETURNING secret) SELECT * FROM s
WITH s AS (INSERT INTO {other}.secret (secret) VALUES ('x') RETURNING *) SELECT * FROM s
WITH s AS (TABLE {other}.secret) INSERT INTO items (title) SELECT secret FROM s RETURNING title
WITH s AS MATERIALIZED (SELECT * FROM {other}.secret) DELETE FROM items USING s
WITH RECURSIVE s AS (SELECT secret FROM {other}.secret UNION SELECT secret FROM s) SELECT * FROM s
WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) CYCLE n SET c USING p SELECT * FROM s
WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SEARCH DEPTH FIRST BY n SET o SELECT * FROM s LIMIT 3
WITH m AS (MERGE INTO items USING {other}.secret s ON false WHEN NOT MATCHED THEN INSERT (title) VALUES (s.secret) RETURNING s.secret) SELECT * FROM m
MERGE INTO {other}.secret USING items ON false WHEN NOT MATCHED THEN INSERT (secret) VALUES ('x')
MERGE INTO {other}.secret s USING (VALUES (1)) v(n) ON true WHEN MATCHED THEN DELETE
MERGE INTO items USING {other}.secret s ON items.title = s.secret WHEN MATCHED THEN DO NOTHING
MERGE INTO items USING (SELECT secret FROM {other}.secret) s ON false WHEN NOT MATCHED THEN INSERT (title) VALUES (s.secret)
MERGE INTO items USING items s ON true WHEN NOT MATCHED BY SOURCE THEN DELETE
MERGE INTO items USING items s ON true WHEN MATCHED THEN UPDATE SET title = 'x' RETURNING merge_action()
INSERT INTO items (title) VALUES ('x') RETURNING WITH (OLD AS o, NEW AS n) o.title, n.title
TRUNCATE {other}.secret
TRUNCATE {other}.secret RESTART IDENTITY CASCADE
INSERT INTO pg_class DEFAULT VALUES
UPDATE pg_settings SET setting = 'on' WHERE name = 'allow_system_table_mods'
DELETE FROM pg_catalog.pg_class
UPDATE pg_database SET datallowconn = false

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
SELECT * FROM items NATURAL JOIN {other}.secret
SELECT * FROM items LEFT JOIN {other}.secret USING (id)
SELECT * FROM (SELECT * FROM (SELECT * FROM {other}.secret) a) b
SELECT * FROM items i, LATERAL (SELECT * FROM {other}.secret s WHERE s.id = i.id) l
SELECT * FROM items CROSS JOIN LATERAL (VALUES ((SELECT secret FROM {other}.secret LIMIT 1))) v
SELECT ARRAY(SELECT secret FROM {other}.secret)
SELECT ARRAY[(SELECT secret FROM {other}.secret LIMIT 1)]
SELECT (SELECT array_agg(secret) FROM {other}.secret)[1]
SELECT (ARRAY['a'])[(SELECT id FROM {other}.secret LIMIT 1)]
SELECT CASE WHEN true THEN (SELECT secret FROM {other}.secret LIMIT 1) END
SELECT coalesce((SELECT secret FROM {other}.secret LIMIT 1), '')
SELECT 'x' IN (SELECT secret FROM {other}.secret)
SELECT 'x' > ALL (SELECT secret FROM {other}.secret)
SELECT (1, 'x') = (SELECT id, secret FROM {other}.secret LIMIT 1)
SELECT count(*) FILTER (WHERE EXISTS (TABLE {other}.secret)) FROM items
SELECT rank() OVER (ORDER BY (SELECT secret FROM {other}.secret LIMIT 1)) FROM items
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY (SELECT secret FROM {other}.secret LIMIT 1)) FROM items
SELECT 1 FROM items LIMIT (SELECT count(*) FROM {other}.secret)
SELECT 1 FROM items OFFSET (SELECT count(*) FROM {other}.secret)
SELECT 1 FROM items FETCH FIRST (SELECT count(*) FROM {other}.secret) ROWS ONLY
SELECT 1 FROM items GROUP BY (SELECT secret FROM {other}.secret LIMIT 1)
SELECT 1 FROM items HAVING EXISTS (TABLE {other}.secret)
SELECT DISTINCT ON ((SELECT secret FROM {other}.secret LIMIT 1)) 1 FROM items
SELECT 1 FROM items ORDER BY (SELECT secret FROM {other}.secret LIMIT 1)
SELECT 1 FROM items WINDOW w AS (ORDER BY (SELECT secret FROM {other}.secret LIMIT 1))
SELECT title FROM items UNION ALL SELECT secret FROM {other}.secret
SELECT title FROM items EXCEPT TABLE {other}.secret
SELECT * FROM generate_series(1, (SELECT count(*) FROM {other}.secret)) g
SELECT * FROM unnest(ARRAY(SELECT secret FROM {other}.secret)) u
SELECT * FROM ROWS FROM (unnest(ARRAY(SELECT secret FROM {other}.secret))) u
SELECT * FROM {other}.secret TABLESAMPLE SYSTEM (100)
SELECT * FROM items TABLESAMPLE {other}.method (1)
SELECT * FROM {other}.leak() AS t(a text)
SELECT {other}.leak(VARIADIC ARRAY[1])
SELECT {other}.agg(title) FROM items
SELECT * FROM public.items
SELECT * FROM pg_toast.pg_toast_1234
SELECT tableoid::regclass FROM items
WITH a AS (SELECT 1) SELECT * FROM a, {other}.secret
WITH secret AS (TABLE {other}.secret) SELECT * FROM secret
WITH a AS (WITH b AS (TABLE {other}.secret) TABLE b) TABLE a
SELECT (SELECT s FROM {other}.secret s LIMIT 1)
SELECT s FROM {other}.secret s
SELECT s.* FROM {other}.secret s
SELECT (s).secret FROM {other}.secret s
SELECT s::text FROM {other}.secret s
SELECT position('x' IN secret) FROM {other}.secret
SELECT extract(year FROM (SELECT now() FROM {other}.secret LIMIT 1))

-- Operators, collations and sort orders that live in another schema.
SELECT 1 OPERATOR("{other}"."+") 1
SELECT OPERATOR({other}.-) 1
SELECT 1 OPERATOR(public.=) ANY (ARRAY[1])
SELECT 1 OPERATOR({other}.=) ALL (SELECT 1)
SELECT (1, 2) OPERATOR({other}.=) (1, 2)
SELECT * FROM items WHERE title OPERATOR({other}.~~) 'a'
SELECT title FROM items ORDER BY title USING OPERATOR({other}.<)
SELECT array_agg(title ORDER BY title USING OPERATOR({other}.<)) FROM items
SELECT rank() OVER (ORDER BY title USING OPERATOR({other}.<)) FROM items
SELECT title COLLATE {other}.de FROM items
SELECT title COLLATE "{other}"."de" FROM items
SELECT 'a' < ('b' COLLATE {other}.de)
SELECT * FROM items ORDER BY title COLLATE {other}.de
INSERT INTO items (title) VALUES ('a') ON CONFLICT (title COLLATE {other}.de) DO NOTHING
INSERT INTO items (title) VALUES ('a') ON CONFLICT (title {other}.ops) DO NOTHING
SELECT * FROM jsonb_to_record('{}') AS t(a text COLLATE {other}.de)
SELECT 1 OPERATOR(pg_temp.+) 1
SELECT 1 OPERATOR(information_schema.+) 1
SELECT 'a' OPERATOR({other}.||) (SELECT secret FROM {other}.secret LIMIT 1)

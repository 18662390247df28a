-- Counters of somebody else, and of the session.
SELECT currval('{other}.secret_id_seq')
SELECT setval('{other}.secret_id_seq', 1)
SELECT setval('items_id_seq', 1)
SELECT last_value FROM {other}.secret_id_seq
SELECT pg_sequence_last_value('{other}.secret_id_seq'::regclass)
SELECT pg_sequence_parameters('{other}.secret_id_seq'::regclass)
SELECT pg_get_sequence_data('{other}.secret_id_seq'::regclass)
SELECT nextval($1) -- $1: {other}.secret_id_seq
SELECT nextval(('{other}.' || 'secret_id_seq')::regclass)
SELECT nextval(title) FROM items
SELECT nextval(16384)
SELECT nextval('{other}.secret_id_seq'::text::regclass)
SELECT nextval(CAST('{other}.secret_id_seq' AS regclass))
SELECT nextval((SELECT '{other}.secret_id_seq'))
SELECT nextval(E'{other}\x2esecret_id_seq')
SELECT nextval(U&'{other}\002Esecret_id_seq')
SELECT nextval('a', 'b')
SELECT pg_catalog.nextval('{other}.secret_id_seq')
INSERT INTO items (id, title) VALUES (nextval('{other}.secret_id_seq'), 'x')
SELECT n FROM nextval('{other}.secret_id_seq') n
SELECT x.nextval FROM (VALUES ('{other}.secret_id_seq'::regclass)) AS x(a)

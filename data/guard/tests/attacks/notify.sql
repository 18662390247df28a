-- Channels belong to the database: anyone could listen to everyone.
LISTEN {other}
LISTEN "terrace_events"
NOTIFY {other}, 'x'
UNLISTEN {other}
SELECT pg_notify('{other}', secret) FROM secret
SELECT pg_catalog.pg_notify('a', 'b')
SELECT pg_notification_queue_usage()
SELECT pg_notify(title, title) FROM items
INSERT INTO items (title) VALUES (pg_notify('a', 'b')::text)
CREATE RULE r AS ON INSERT TO items DO ALSO NOTIFY a

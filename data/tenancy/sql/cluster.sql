-- What a cluster remembers of operations that it must do once and only once.
CREATE TABLE IF NOT EXISTS terrace.done (
    operation bigint      PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now()
);

-- One row for a tenant that is being moved: when a number comes out at the other cluster, all that was
-- done before it is there, too.
CREATE TABLE IF NOT EXISTS terrace_events.mark (
    tenant_id text   PRIMARY KEY,
    number    bigint NOT NULL
);

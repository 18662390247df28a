-- What tenants used of services, by hour. An hour that is over never changes: what comes late counts in
-- the hour in which it comes. Nothing refers to it, so that a deleted tenant's last bill can be written.
CREATE TABLE terrace.usage (
    tenant            text        NOT NULL,
    hour              timestamptz NOT NULL,
    service           text        NOT NULL,
    requests          bigint      NOT NULL,
    failures          bigint      NOT NULL,
    cpu_us            bigint      NOT NULL,
    wall_us           bigint      NOT NULL,
    memory_peak_bytes bigint      NOT NULL,
    sql_us            bigint      NOT NULL,
    statements        bigint      NOT NULL,
    sent_bytes        bigint      NOT NULL,
    received_bytes    bigint      NOT NULL,
    published_at      timestamptz, -- when the tenant's stream was told of it
    PRIMARY KEY (tenant, hour, service)
);
CREATE INDEX usage_unpublished ON terrace.usage (hour, tenant) WHERE published_at IS NULL;
CREATE INDEX usage_hour ON terrace.usage (hour);

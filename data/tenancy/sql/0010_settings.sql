-- What operators set for a service: secrets, sealed before they come here, and plain values. Without a
-- tenant it counts for all tenants; a tenant's own comes first. A service may get its settings before
-- its first release, so it is no foreign key.
CREATE TABLE terrace.setting (
    kind       text        NOT NULL CHECK (kind IN ('secret', 'config')),
    service    text        NOT NULL,
    name       text        NOT NULL,
    tenant     text        REFERENCES terrace.tenant ON DELETE CASCADE,
    value      bytea       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (kind, service, name, tenant)
);
CREATE INDEX setting_tenant ON terrace.setting (tenant) WHERE tenant IS NOT NULL;

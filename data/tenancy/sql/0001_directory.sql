-- The directory: what exists, where it lives, and what is being done to it. Only the platform's own
-- login may look in here.

-- Counts changes, so that a node sees with one small query whether its view is old. Taking the row
-- also puts the changes of all nodes into one order; so it is taken last in a transaction.
CREATE TABLE terrace.version (
    id    boolean PRIMARY KEY DEFAULT true CHECK (id),
    value bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO terrace.version (value) VALUES (1);

CREATE FUNCTION terrace.bump() RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp
    AS 'UPDATE terrace.version SET value = value + 1 RETURNING value';

CREATE TABLE terrace.cluster (
    name       text        PRIMARY KEY,
    address    jsonb       NOT NULL, -- {"unix":{"dir","port"}} or {"tcp":{"host","port"}}
    database   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE terrace.lane (
    id               text        PRIMARY KEY,
    cluster          text        NOT NULL REFERENCES terrace.cluster,
    login            text        NOT NULL UNIQUE,
    capacity         integer     NOT NULL CHECK (capacity > 0),
    tenants          integer     NOT NULL DEFAULT 0 CHECK (tenants BETWEEN 0 AND capacity),
    connection_limit integer     NOT NULL CHECK (connection_limit > 0),
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE terrace.tenant (
    id         text        PRIMARY KEY,
    slug       text        NOT NULL UNIQUE,
    name       text        NOT NULL,
    plan       text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('creating', 'active', 'suspended', 'deleting')),
    lane       text        REFERENCES terrace.lane,
    created_at timestamptz NOT NULL DEFAULT now(),
    version    bigint      NOT NULL
);
CREATE INDEX tenant_version ON terrace.tenant (version);

-- What is left of a tenant: the proof of what was removed, and nothing that names the customer.
CREATE TABLE terrace.tombstone (
    tenant     text        PRIMARY KEY,
    evidence   jsonb       NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now(),
    version    bigint      NOT NULL
);
CREATE INDEX tombstone_version ON terrace.tombstone (version);

CREATE TABLE terrace.service (
    name       text        PRIMARY KEY,
    title      text        NOT NULL,
    current    text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE terrace.release (
    id           text        PRIMARY KEY,
    service      text        NOT NULL REFERENCES terrace.service,
    state        text        NOT NULL CHECK (state IN ('uploaded', 'active', 'retained', 'failed')),
    sha256       text        NOT NULL,
    size_bytes   bigint      NOT NULL,
    capabilities text[]      NOT NULL,
    manifest     text        NOT NULL,
    contract     text        NOT NULL,
    migrations   text        NOT NULL, -- JSON: [{"name","sql"}]
    component    bytea       NOT NULL,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz
);
CREATE INDEX release_service ON terrace.release (service, created_at);
ALTER TABLE terrace.release ALTER component SET STORAGE EXTERNAL;
ALTER TABLE terrace.service ADD FOREIGN KEY (current) REFERENCES terrace.release;

CREATE TABLE terrace.site (
    name       text        PRIMARY KEY,
    title      text        NOT NULL,
    current    text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE terrace.blob (
    sha256  text  PRIMARY KEY,
    content bytea NOT NULL
);
ALTER TABLE terrace.blob ALTER content SET STORAGE EXTERNAL;

CREATE TABLE terrace.build (
    id         text        PRIMARY KEY,
    site       text        NOT NULL REFERENCES terrace.site,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE terrace.site ADD FOREIGN KEY (current) REFERENCES terrace.build;

CREATE TABLE terrace.build_file (
    build        text   NOT NULL REFERENCES terrace.build ON DELETE CASCADE,
    path         text   NOT NULL,
    sha256       text   NOT NULL REFERENCES terrace.blob,
    size_bytes   bigint NOT NULL,
    content_type text   NOT NULL,
    PRIMARY KEY (build, path)
);
CREATE INDEX build_file_blob ON terrace.build_file (sha256);

CREATE TABLE terrace.operator (
    id            bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    email         text        NOT NULL UNIQUE,
    name          text        NOT NULL,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- One row per thing that is done to a tenant in steps. `step` is the last one that is done.
CREATE TABLE terrace.lifecycle (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant      text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('create', 'delete')),
    state       text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    step        text        NOT NULL,
    steps       jsonb       NOT NULL DEFAULT '[]', -- [{"step","at"}]
    context     jsonb,                             -- for the hooks; cleared when the operation ends
    evidence    jsonb       NOT NULL DEFAULT '{}',
    error       text,                              -- of the last attempt
    attempts    integer     NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX lifecycle_running ON terrace.lifecycle (tenant, kind) WHERE state = 'running';

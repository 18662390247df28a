-- Everything that is done to a tenant is an operation: one row, its steps, who asked, what went wrong.

ALTER TABLE terrace.lifecycle DROP CONSTRAINT lifecycle_kind_check;
ALTER TABLE terrace.lifecycle ADD CONSTRAINT lifecycle_kind_check
    CHECK (kind IN ('create', 'delete', 'suspend', 'resume', 'plan', 'rename', 'export', 'import', 'restore', 'move'));
ALTER TABLE terrace.lifecycle
    ADD COLUMN actor    text,        -- the operator who asked; NULL: the platform itself
    ADD COLUMN input    jsonb,       -- what was asked for; cleared when the tenant is deleted
    ADD COLUMN retry_at timestamptz; -- not taken up by itself before then
-- One operation of a tenant at a time, whatever its kind.
DROP INDEX terrace.lifecycle_running;
CREATE UNIQUE INDEX lifecycle_running ON terrace.lifecycle (tenant) WHERE state = 'running';
CREATE INDEX lifecycle_tenant ON terrace.lifecycle (tenant, id);

-- Every slug that is in use, being taken, or kept for the tenant that had it: the one place where two
-- tenants could clash over a name.
CREATE TABLE terrace.slug (
    slug       text PRIMARY KEY,
    tenant     text NOT NULL,
    held_until timestamptz -- NULL: in use, or being taken
);
CREATE INDEX slug_tenant ON terrace.slug (tenant);
INSERT INTO terrace.slug (slug, tenant) SELECT slug, id FROM terrace.tenant;

-- Tenants without a name: schemas and roles are there, a creation only takes one.
CREATE TABLE terrace.spare (
    tenant     text        PRIMARY KEY,
    lane       text        NOT NULL REFERENCES terrace.lane,
    state      text        NOT NULL CHECK (state IN ('building', 'ready')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Archives that are uploaded in parts. They lie here, and not on a node's disk, so that any node can
-- go on with an import.
CREATE TABLE terrace.archive (
    id         text        PRIMARY KEY,
    tenant     text, -- that is being made from it
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE terrace.archive_part (
    archive text    NOT NULL REFERENCES terrace.archive ON DELETE CASCADE,
    number  integer NOT NULL,
    content bytea   NOT NULL,
    PRIMARY KEY (archive, number)
);
ALTER TABLE terrace.archive_part ALTER content SET STORAGE EXTERNAL;

-- Events of a paused stream wait, and none of them grows too old: its tenant is suspended, or being
-- imported.
ALTER TABLE terrace_events.stream ADD COLUMN paused boolean NOT NULL DEFAULT false;
UPDATE terrace_events.stream s SET paused = true FROM terrace.tenant t WHERE t.id = s.tenant_id AND t.state = 'suspended';

-- Counts how often a tenant's data was replaced as a whole: what nodes remember of it is worth nothing then.
ALTER TABLE terrace.tenant ADD COLUMN epoch integer NOT NULL DEFAULT 0;

-- More clusters than the directory's own.
ALTER TABLE terrace.cluster
    ADD COLUMN login  text,                       -- the platform's own there; NULL: the directory's
    ADD COLUMN region text NOT NULL DEFAULT '',
    ADD COLUMN plans  text[],                     -- new tenants of these plans; NULL: of all
    ADD COLUMN state  text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'draining')); -- draining: no new tenants

-- Work that is done later. A service schedules it in the transaction of its data, through one function
-- that derives tenant and service from the role, like the one that publishes; nobody reads it but the
-- scheduler. A row goes with its tenant.

CREATE TABLE terrace_events.job (
    id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_id  text        NOT NULL REFERENCES terrace.tenant ON DELETE CASCADE,
    service    text        NOT NULL,
    name       text        NOT NULL,
    key        text        NOT NULL DEFAULT '', -- '': none
    cron       text,                            -- of a manifest's [[schedule]]: done again and again
    payload    jsonb       NOT NULL DEFAULT 'null',
    due_at     timestamptz NOT NULL,
    next_at    timestamptz NOT NULL,            -- the next try: due_at, or later after a failure
    attempts   integer     NOT NULL DEFAULT 0,
    revision   bigint      NOT NULL DEFAULT 0,  -- goes up when it is replaced
    error      text,                            -- of the last try
    dead_at    timestamptz,                     -- given up
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX job_key ON terrace_events.job (tenant_id, service, name, key)
    WHERE key <> '' AND cron IS NULL AND dead_at IS NULL;
CREATE UNIQUE INDEX job_cron ON terrace_events.job (tenant_id, service, name) WHERE cron IS NOT NULL;
CREATE INDEX job_next ON terrace_events.job (next_at) WHERE dead_at IS NULL;
CREATE INDEX job_turn ON terrace_events.job (tenant_id, service, next_at) WHERE dead_at IS NULL;

-- How many jobs of a tenant wait, those of manifests aside. Whoever changes the number takes the row
-- before any row of a job.
CREATE TABLE terrace_events.pending (
    tenant_id text   PRIMARY KEY REFERENCES terrace.tenant ON DELETE CASCADE,
    jobs      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- `[{"name","key","payload","delay_ms"}]` schedules; without `delay_ms` it cancels. A job of the same
-- name and key that still waits is replaced.
CREATE FUNCTION terrace_events.schedule(changes jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who    record;
    change jsonb;
    due    timestamptz;
    fresh  boolean;
    gone   bigint;
    before bigint;
    more   bigint := 0;
BEGIN
    SELECT p.tenant_id, p.service INTO who FROM terrace_events.principal p WHERE p.role = current_setting('role');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this role schedules for no tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO terrace_events.pending AS p (tenant_id) VALUES (who.tenant_id)
    ON CONFLICT (tenant_id) DO UPDATE SET jobs = p.jobs RETURNING p.jobs INTO before;
    FOR change IN SELECT * FROM jsonb_array_elements(changes) LOOP
        IF change ? 'delay_ms' THEN
            due := clock_timestamp() + (change ->> 'delay_ms')::bigint * interval '1 millisecond';
            INSERT INTO terrace_events.job AS j (tenant_id, service, name, key, payload, due_at, next_at)
            VALUES (who.tenant_id, who.service, change ->> 'name', change ->> 'key', change -> 'payload', due, due)
            ON CONFLICT (tenant_id, service, name, key) WHERE key <> '' AND cron IS NULL AND dead_at IS NULL
            DO UPDATE SET payload = excluded.payload, due_at = excluded.due_at, next_at = excluded.next_at,
                attempts = 0, error = NULL, revision = j.revision + 1
            RETURNING j.revision = 0 INTO fresh;
            more := more + fresh::integer;
        ELSE
            DELETE FROM terrace_events.job j
            WHERE j.tenant_id = who.tenant_id AND j.service = who.service AND j.name = change ->> 'name'
              AND j.key = change ->> 'key' AND j.key <> '' AND j.cron IS NULL AND j.dead_at IS NULL;
            GET DIAGNOSTICS gone = ROW_COUNT;
            more := more - gone;
        END IF;
    END LOOP;
    IF more > 0 AND before + more > 10000 THEN
        RAISE EXCEPTION 'at most 10000 jobs of one tenant may wait, and % do: wait until some are done, or cancel some', before
            USING ERRCODE = 'TE002';
    END IF;
    UPDATE terrace_events.pending p SET jobs = p.jobs + more WHERE p.tenant_id = who.tenant_id;
    RETURN more;
END $$;

GRANT CREATE ON SCHEMA terrace_events TO terrace_events;
GRANT SELECT, INSERT, UPDATE, DELETE ON terrace_events.job, terrace_events.pending TO terrace_events;
ALTER FUNCTION terrace_events.schedule(jsonb) OWNER TO terrace_events;
REVOKE CREATE ON SCHEMA terrace_events FROM terrace_events;

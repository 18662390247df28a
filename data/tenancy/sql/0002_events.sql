-- The streams. Services write through two functions and read nothing.
--
-- The functions are open to every role, because a grant per tenant would rewrite the same catalogue
-- row for every tenant that is created. They take no word about who is calling: the tenant and the
-- service come from the role that the transaction runs as, which the router sets and a statement of a
-- service cannot change. A role that is no principal is refused. They run as a role of their own that
-- may touch these tables and nothing else, not as the platform's login.

CREATE SCHEMA terrace_events;

-- Which role is which service of which tenant; also the list of schemas that exist.
CREATE TABLE terrace_events.principal (
    role       text        PRIMARY KEY,
    tenant_id  text        NOT NULL,
    service    text        NOT NULL,
    ready_at   timestamptz, -- when the tenant-created hook of the service was done
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, service)
);

CREATE TABLE terrace_events.stream (
    tenant_id text   PRIMARY KEY,
    last_seq  bigint NOT NULL DEFAULT 0,
    first_seq bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);

CREATE TABLE terrace_events.log (
    tenant_id text        NOT NULL,
    seq       bigint      NOT NULL,
    type      text        NOT NULL,
    topic     text        NOT NULL,
    data      jsonb       NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

-- How far a consumer is, and how often it has tried the next event.
CREATE TABLE terrace_events.cursor (
    service   text        NOT NULL,
    tenant_id text        NOT NULL,
    seq       bigint      NOT NULL DEFAULT 0,
    attempts  integer     NOT NULL DEFAULT 0,
    retry_at  timestamptz,
    error     text,
    PRIMARY KEY (tenant_id, service)
) WITH (fillfactor = 50);

CREATE TABLE terrace_events.dead_letter (
    service   text        NOT NULL,
    tenant_id text        NOT NULL,
    seq       bigint      NOT NULL,
    type      text        NOT NULL,
    topic     text        NOT NULL,
    data      jsonb       NOT NULL,
    at        timestamptz NOT NULL,
    error     text        NOT NULL,
    attempts  integer     NOT NULL,
    died_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, service, seq)
);

CREATE FUNCTION terrace_events.publish(events jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who    record;
    amount bigint := jsonb_array_length(events);
    last   bigint;
BEGIN
    SELECT p.tenant_id, p.service INTO who FROM terrace_events.principal p WHERE p.role = current_setting('role');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this role publishes for no tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- From here to the commit no other transaction of this tenant can publish: that is what makes the
    -- order of numbers the order of commits. A rollback gives the numbers back.
    UPDATE terrace_events.stream s SET last_seq = s.last_seq + amount WHERE s.tenant_id = who.tenant_id RETURNING s.last_seq INTO last;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this tenant has no stream' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO terrace_events.log (tenant_id, seq, type, topic, data, at)
    SELECT who.tenant_id, last - amount + e.place, who.service || '.' || (e.event ->> 'type'), coalesce(e.event ->> 'topic', ''),
           coalesce(e.event -> 'data', 'null'::jsonb), clock_timestamp()
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (event, place);
    RETURN last;
END $$;

-- Advances the cursor of the calling service to the event that is being delivered, in the transaction
-- of its effect. An event that was consumed before is an error, which undoes the second effect.
CREATE FUNCTION terrace_events.consume(seq bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE terrace_events.cursor c SET seq = consume.seq, attempts = 0, retry_at = NULL, error = NULL
    FROM terrace_events.principal p
    WHERE p.role = current_setting('role') AND c.tenant_id = p.tenant_id AND c.service = p.service AND c.seq < consume.seq;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event % was already consumed', consume.seq USING ERRCODE = 'TE001';
    END IF;
    RETURN consume.seq;
END $$;

-- Roles are the cluster's, this database is one of perhaps several: the role may be there already.
DO $$
BEGIN
    CREATE ROLE terrace_events NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
GRANT terrace_events TO CURRENT_USER;
GRANT USAGE, CREATE ON SCHEMA terrace_events TO terrace_events;
GRANT SELECT ON terrace_events.principal TO terrace_events;
GRANT SELECT, UPDATE ON terrace_events.stream, terrace_events.cursor TO terrace_events;
GRANT INSERT ON terrace_events.log TO terrace_events;
ALTER FUNCTION terrace_events.publish(jsonb) OWNER TO terrace_events;
ALTER FUNCTION terrace_events.consume(bigint) OWNER TO terrace_events;
REVOKE CREATE ON SCHEMA terrace_events FROM terrace_events;
GRANT USAGE ON SCHEMA terrace_events TO PUBLIC;

-- Releases in full: where a component lies, who uploaded it, which tenants try a canary, since when
-- a new release is on trial, and what became of each.

-- Components lie in the object store from now on; those of older releases stay where they are.
ALTER TABLE terrace.release ALTER component DROP NOT NULL;
ALTER TABLE terrace.release
    ADD component_sha256 text,
    ADD imports          text[] NOT NULL DEFAULT '{}',
    ADD uploaded_by      text   NOT NULL DEFAULT 'unknown';
CREATE INDEX release_component ON terrace.release (component_sha256);

ALTER TABLE terrace.release DROP CONSTRAINT release_state_check;
ALTER TABLE terrace.release ADD CONSTRAINT release_state_check
    CHECK (state IN ('uploaded', 'active', 'canary', 'retained', 'failed'));

ALTER TABLE terrace.service
    ADD previous       text REFERENCES terrace.release, -- where a rollback leads; null after one
    ADD trial_since    timestamptz,                     -- null: the current release is past its trial
    ADD canary         text REFERENCES terrace.release,
    ADD canary_share   integer CHECK (canary_share BETWEEN 1 AND 10000), -- of 10,000; null: a list
    ADD canary_tenants text[] NOT NULL DEFAULT '{}',    -- those whose schema is ready for it
    ADD canary_since   timestamptz;

CREATE TABLE terrace.release_history (
    id      bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    service text        NOT NULL REFERENCES terrace.service,
    release text        NOT NULL, -- no reference: what happened stays when the release is gone
    kind    text        NOT NULL,
    detail  text        NOT NULL,
    actor   text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX release_history_service ON terrace.release_history (service, id);

-- Jobs are where their tenant lives, and that may be another database than the directory's: what a
-- tenant has of them goes with it by name, not by reference.

ALTER TABLE terrace_events.job     DROP CONSTRAINT job_tenant_id_fkey;
ALTER TABLE terrace_events.pending DROP CONSTRAINT pending_tenant_id_fkey;

-- A tenant's rows are followed when it is moved, and the column that says whose they are must be in what
-- identifies them: otherwise nobody's job could be changed meanwhile.
CREATE UNIQUE INDEX job_identity ON terrace_events.job (tenant_id, id);
ALTER TABLE terrace_events.job REPLICA IDENTITY USING INDEX job_identity;

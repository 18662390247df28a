-- Jobs are where their tenant lives, and that may be another database than the directory's: what a
-- tenant has of them goes with it by name, not by reference.

ALTER TABLE terrace_events.job     DROP CONSTRAINT job_tenant_id_fkey;
ALTER TABLE terrace_events.pending DROP CONSTRAINT pending_tenant_id_fkey;

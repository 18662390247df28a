-- What a tenant's role must not be able to do in this database, whatever statement reaches it. Run at
-- every start: an upgrade of PostgreSQL brings back what it owns. The facts are in the threat notes:
-- each of these functions runs text as SQL, changes a setting, takes a lock that all tenants share,
-- reaches files or other sessions, or waits.
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND (p.proname ~ '^(set_config|(query|table|cursor|schema|database)_to_xml(schema|_and_xmlschema)?|ts_stat|pg_notify|pg_sleep(_for|_until)?|pg_export_snapshot|pg_logical_emit_message|pg_cancel_backend|pg_terminate_backend|pg_current_logfile|currtid2?|loread|lowrite)$'
               OR p.proname ~ '^(pg_advisory_|pg_try_advisory_|lo_|pg_read_|pg_ls_|pg_stat_file)'
               OR (p.proname = 'ts_rewrite' AND p.pronargs = 2))
          AND has_function_privilege('public', p.oid, 'execute')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
    EXECUTE 'REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC';
END $$;

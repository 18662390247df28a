-- What a tenant's role must not be able to do in this database, whatever statement reaches it. Run at
-- every start: an upgrade of PostgreSQL brings back what it owns. The facts are in the threat notes:
-- each of these functions runs text as SQL, changes a setting, takes a lock that all tenants share,
-- reaches files or other sessions, waits, or tells what another tenant has: a name, a definition, a
-- size, a count. Views of the catalogue that use one fail for a tenant's role, and none has to use one.
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND (p.proname ~ '^(set_config|(query|table|cursor|schema|database)_to_xml(schema|_and_xmlschema)?|ts_stat|pg_notify|pg_sleep(_for|_until)?|pg_export_snapshot|pg_logical_emit_message|pg_cancel_backend|pg_terminate_backend|pg_current_logfile|currtid2?|loread|lowrite|current_setting|pg_show_all_settings|pg_show_all_file_settings|pg_lock_status|pg_prepared_xact|pg_prepared_statement|pg_cursor|pg_relation_filepath|pg_relation_filenode|pg_filenode_relation|pg_describe_object|pg_identify_object(_as_address)?|obj_description|col_description|shobj_description|pg_input_is_valid|pg_input_error_info)$'
               OR p.proname ~ '^(pg_advisory_|pg_try_advisory_|lo_|pg_read_|pg_ls_|pg_stat_|pg_get_|pg_sequence_|to_reg|pg_(table|indexes|relation|total_relation|database|tablespace)_size$)'
               OR (p.proname = 'ts_rewrite' AND p.pronargs = 2))
          AND has_function_privilege('public', p.oid, 'execute')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
    -- What publishes and consumes for a tenant asks which role called it.
    GRANT EXECUTE ON FUNCTION pg_catalog.current_setting(text) TO terrace_events;
    EXECUTE 'REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC';
END $$;

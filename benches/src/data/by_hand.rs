//! The peer of a creation: the same tables made by hand, with no directory, in one transaction.

use std::fmt::Write;

use terrace_data_tenancy::testing::SERVICES;

use super::stage::PEER;

/// A role that owns three schemas with the tables of the three services, granted to the pool's login.
pub(super) fn tenant(name: &str) -> String {
    let mut sql = format!("BEGIN; CREATE ROLE {name} NOLOGIN; GRANT {name} TO {PEER};");
    for (service, migrations) in SERVICES {
        let schema = format!("{name}_{service}");
        let _ = write!(
            sql,
            "CREATE SCHEMA {schema} AUTHORIZATION {name}; SET LOCAL ROLE {name}; SET LOCAL search_path = {schema};"
        );
        for (_, migration) in migrations {
            let _ = write!(sql, "{migration};");
        }
        sql.push_str("RESET ROLE;");
    }
    sql.push_str("COMMIT");
    sql
}

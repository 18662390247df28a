//! The schemas and roles of one tenant: made in one transaction, removed in one transaction.
//!
//! Names go into statements as text, because DDL takes no parameters. That is safe for ids that were
//! parsed (ground/ids): their alphabet holds no quote.

use std::fmt::Write;

use terrace_ground_ids::{LaneId, ServiceName, TenantId};
use tokio_postgres::{GenericClient, Transaction};

use crate::{Error, lane};

/// Makes what is missing: the owner role, the stream, and for each of `services` the schema, the
/// runtime role, its grants, and the lane's right to act as it.
pub(crate) async fn build(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    lane: &LaneId,
    services: &[ServiceName],
) -> Result<(), Error> {
    // Two nodes at once (a creation, and the activation of a new service) must not both create.
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
            &[&tenant.as_str()],
        )
        .await?;
    let owner = tenant.owner_role();
    let there = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), rolsuper FROM pg_roles WHERE rolname = current_user",
            &[&owner],
        )
        .await?;
    let (has_owner, is_superuser): (bool, bool) = (there.try_get(0)?, there.try_get(1)?);
    let mut sql = String::new();
    if !has_owner {
        write_sql(&mut sql, format_args!("CREATE ROLE \"{owner}\" NOLOGIN;"));
    }
    // A login that is no superuser may act for the owner only as its member, and is one no longer than
    // it has to: each membership makes the next change of role slower.
    if !is_superuser {
        write_sql(&mut sql, format_args!("GRANT \"{owner}\" TO CURRENT_USER;"));
    }
    if !has_owner {
        write_sql(
            &mut sql,
            format_args!("ALTER DEFAULT PRIVILEGES FOR ROLE \"{owner}\" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"),
        );
    }
    let known = known(transaction, tenant).await?;
    let login = lane::login(lane);
    let options = member_options(transaction).await?;
    for service in services {
        let schema = tenant.schema(service);
        if known.contains(&schema) {
            continue;
        }
        write_sql(
            &mut sql,
            format_args!(
                "CREATE ROLE \"{schema}\" NOLOGIN;
                 CREATE SCHEMA \"{schema}\" AUTHORIZATION \"{owner}\";
                 GRANT USAGE ON SCHEMA \"{schema}\" TO \"{schema}\";
                 ALTER DEFAULT PRIVILEGES FOR ROLE \"{owner}\" IN SCHEMA \"{schema}\" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO \"{schema}\";
                 ALTER DEFAULT PRIVILEGES FOR ROLE \"{owner}\" IN SCHEMA \"{schema}\" GRANT USAGE ON SEQUENCES TO \"{schema}\";
                 GRANT \"{schema}\" TO \"{login}\"{options};
                 INSERT INTO terrace_events.principal (role, tenant_id, service) VALUES ('{schema}', '{tenant}', '{service}');"
            ),
        );
    }
    write_sql(
        &mut sql,
        format_args!("INSERT INTO terrace_events.stream (tenant_id) VALUES ('{tenant}') ON CONFLICT DO NOTHING;"),
    );
    if !is_superuser {
        write_sql(&mut sql, format_args!("REVOKE \"{owner}\" FROM CURRENT_USER;"));
    }
    transaction.batch_execute(&sql).await?;
    Ok(())
}

/// What follows the grant of a tenant's role to a lane. Before PostgreSQL 16 there are no options; the
/// lane is NOINHERIT, which says the same.
pub(crate) async fn member_options(transaction: &Transaction<'_>) -> Result<&'static str, Error> {
    let row = transaction
        .query_one("SELECT current_setting('server_version_num')::integer >= 160000", &[])
        .await?;
    Ok(if row.try_get(0)? {
        " WITH INHERIT FALSE, SET TRUE"
    } else {
        ""
    })
}

/// Acts as the owner of the tenant's tables, until [`become_self`].
pub(crate) async fn become_owner(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(), Error> {
    join_owner(transaction, tenant).await?;
    act_as_owner(transaction, tenant).await
}

/// The same for one who has joined it already: in a snapshot, which writes nothing.
pub(crate) async fn act_as_owner(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(), Error> {
    let owner = tenant.owner_role();
    transaction
        .batch_execute(&format!("SET LOCAL ROLE \"{owner}\""))
        .await?;
    Ok(())
}

/// Acts as the platform again.
pub(crate) async fn become_self(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(), Error> {
    transaction.batch_execute("SET LOCAL ROLE NONE").await?;
    leave_owner(transaction, tenant).await
}

/// Makes the platform's login a member of the tenant's owner role, for as long as it acts for it. A
/// superuser needs no membership. One that a crash leaves goes with the next migration.
pub(crate) async fn join_owner(client: &impl GenericClient, tenant: &TenantId) -> Result<(), Error> {
    change_membership(client, "GRANT", tenant, "TO").await
}

/// Ends what [`join_owner`] began: each membership makes every change of role slower.
pub(crate) async fn leave_owner(client: &impl GenericClient, tenant: &TenantId) -> Result<(), Error> {
    change_membership(client, "REVOKE", tenant, "FROM").await
}

async fn change_membership(client: &impl GenericClient, verb: &str, tenant: &TenantId, to: &str) -> Result<(), Error> {
    if !is_superuser(client).await? {
        let owner = tenant.owner_role();
        client
            .batch_execute(&format!("{verb} \"{owner}\" {to} CURRENT_USER"))
            .await?;
    }
    Ok(())
}

/// Whether the platform's own login needs no membership to act for others.
pub(crate) async fn is_superuser(client: &impl GenericClient) -> Result<bool, Error> {
    let row = client
        .query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// What a removal found, for the evidence.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Removed {
    pub(crate) schemas: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) tables: i64,
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
}

/// Removes the tenant's schemas with all that is in them, and its roles. Finds them by name in the
/// catalogue, not in the list of principals: what a crash left behind goes too.
pub(crate) async fn remove(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Removed, Error> {
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
            &[&tenant.as_str()],
        )
        .await?;
    // `_` stands for any character in LIKE, hence starts_with.
    let prefix = format!("{tenant}_");
    let row = transaction
        .query_one(
            "SELECT coalesce((SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace WHERE starts_with(nspname, $1)), '{}'),
                    coalesce((SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE starts_with(rolname, $1)), '{}')",
            &[&prefix],
        )
        .await?;
    let mut removed = Removed {
        schemas: row.try_get(0)?,
        roles: row.try_get(1)?,
        ..Removed::default()
    };
    let row = transaction
        .query_one(
            "SELECT count(*), coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p')",
            &[&removed.schemas],
        )
        .await?;
    (removed.tables, removed.bytes) = (row.try_get(0)?, row.try_get(1)?);
    let mut sql = String::from("SET LOCAL lock_timeout = '2s'; SET LOCAL client_min_messages = warning;");
    if !is_superuser(transaction).await? {
        // Only a member may count and drop what a role owns. The membership goes with the role.
        for role in &removed.roles {
            write_sql(&mut sql, format_args!("GRANT \"{role}\" TO CURRENT_USER;"));
        }
    }
    transaction.batch_execute(&sql).await?;
    removed.rows = rows(transaction, &removed.schemas).await?;
    sql.clear();
    for schema in &removed.schemas {
        write_sql(&mut sql, format_args!("DROP SCHEMA \"{schema}\" CASCADE;"));
    }
    for role in &removed.roles {
        // The default privileges that name it go with this; memberships go with the role.
        write_sql(&mut sql, format_args!("DROP OWNED BY \"{role}\" CASCADE;"));
    }
    for role in &removed.roles {
        write_sql(&mut sql, format_args!("DROP ROLE \"{role}\";"));
    }
    transaction.batch_execute(&sql).await?;
    Ok(removed)
}

/// Every row of these schemas, counted one by one: evidence is no estimate.
async fn rows(transaction: &Transaction<'_>, schemas: &[String]) -> Result<i64, Error> {
    let tables = transaction
        .query(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p')",
            &[&schemas],
        )
        .await?;
    let counts = tables
        .iter()
        .map(|row| Ok(format!("(SELECT count(*) FROM {})", row.try_get::<_, String>(0)?)))
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()?;
    if counts.is_empty() {
        return Ok(0);
    }
    let row = transaction
        .query_one(&format!("SELECT ({})::bigint", counts.join(" + ")), &[])
        .await?;
    Ok(row.try_get(0)?)
}

async fn known(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Vec<String>, Error> {
    let rows = transaction
        .query(
            "SELECT role FROM terrace_events.principal WHERE tenant_id = $1",
            &[&tenant.as_str()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

fn write_sql(sql: &mut String, statements: std::fmt::Arguments<'_>) {
    let written = sql.write_fmt(statements);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

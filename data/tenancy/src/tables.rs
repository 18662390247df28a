//! Tables of the platform's own in a tenant's schema: made when they are first needed.
//!
//! No migration of a service makes them, and no ledger lists them: they belong to a capability, and a
//! tenant that never uses it has none. Who makes them here makes them so that a second time changes
//! nothing.

use deadpool_postgres::Pool;
use terrace_ground_ids::{ClusterName, ServiceName, TenantId};
use tokio_postgres::Transaction;

use crate::{Directory, Error};

/// The tables behind `wasi:keyvalue` (capabilities/keyvalue). The keys are compared by their bytes: a
/// cursor must not depend on the language of the database. The second table has one row, which every
/// write takes first: it counts what is kept, and gives versions.
pub const KEYVALUE: &str = "
    CREATE TABLE IF NOT EXISTS terrace_keyvalue (
        bucket  text   NOT NULL,
        key     text   COLLATE \"C\" NOT NULL,
        value   bytea  NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (bucket, key)
    );
    CREATE TABLE IF NOT EXISTS terrace_keyvalue_usage (
        one     boolean PRIMARY KEY DEFAULT true CHECK (one),
        keys    bigint  NOT NULL DEFAULT 0,
        bytes   bigint  NOT NULL DEFAULT 0,
        version bigint  NOT NULL DEFAULT 0
    ) WITH (fillfactor = 10);
    INSERT INTO terrace_keyvalue_usage DEFAULT VALUES ON CONFLICT DO NOTHING;
";

/// The tables behind `blob` (capabilities/blob). A file lies in pieces, which go and come with its
/// version. Compressing what is mostly compressed already would cost time and save nothing.
pub const BLOB: &str = "
    CREATE TABLE IF NOT EXISTS terrace_blob (
        name         text        COLLATE \"C\" PRIMARY KEY,
        size         bigint      NOT NULL,
        content_type text        NOT NULL,
        sha256       text        NOT NULL,
        version      bigint      NOT NULL,
        written_at   timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE IF NOT EXISTS terrace_blob_piece (
        version bigint  NOT NULL,
        number  integer NOT NULL,
        content bytea   NOT NULL,
        PRIMARY KEY (version, number)
    );
    ALTER TABLE terrace_blob_piece ALTER COLUMN content SET STORAGE EXTERNAL;
    CREATE TABLE IF NOT EXISTS terrace_blob_usage (
        one     boolean PRIMARY KEY DEFAULT true CHECK (one),
        files   bigint  NOT NULL DEFAULT 0,
        bytes   bigint  NOT NULL DEFAULT 0,
        version bigint  NOT NULL DEFAULT 0
    ) WITH (fillfactor = 10);
    INSERT INTO terrace_blob_usage DEFAULT VALUES ON CONFLICT DO NOTHING;
";

/// All of them, by the first table of each.
pub(crate) const ALL: [(&str, &str); 2] = [("terrace_blob", BLOB), ("terrace_keyvalue", KEYVALUE)];

/// What is to be made before rows of these tables can be loaded.
pub(crate) fn of_table(name: &str) -> Option<&'static str> {
    let made = ALL.into_iter().find(|(first, _)| *first == name);
    made.map(|(_, statements)| statements)
}

impl Directory {
    /// Runs the platform's own `statements` in the schema of a service of a tenant, as the tenant's
    /// owner role, in one transaction. The schema is the search path; rights on new tables go to the
    /// runtime role, as for those of migrations.
    ///
    /// # Errors
    /// [`Error::Query`] when there is no such schema, or the database refuses or is away.
    pub async fn make_tables(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        statements: &'static str,
    ) -> Result<(), Error> {
        loop {
            let cluster = self.cluster_of(tenant).await?;
            let pool = self.known_cluster_pool(&cluster).await?;
            if self
                .make_tables_at(&pool, &cluster, tenant, service, statements)
                .await?
            {
                return Ok(());
            }
        }
    }

    /// False when the tenant lives there no more: it was moved while this waited, and nothing was made.
    async fn make_tables_at(
        &self,
        pool: &Pool,
        cluster: &ClusterName,
        tenant: &TenantId,
        service: &ServiceName,
        statements: &'static str,
    ) -> Result<bool, Error> {
        let mut client = pool.get().await?;
        let transaction = client.transaction().await?;
        // Requests of one tenant that come at once wait here, and the later ones find the tables there.
        transaction
            .execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
                &[&tenant.as_str()],
            )
            .await?;
        if self.cluster_of(tenant).await? != *cluster {
            return Ok(false);
        }
        make(&transaction, tenant, service, statements).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The same in a transaction of the caller's, who has the lock of the tenant or is alone with it.
pub(crate) async fn make(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    service: &ServiceName,
    statements: &str,
) -> Result<(), Error> {
    let (schema, owner) = (tenant.schema(service), tenant.owner_role());
    let row = transaction
        .query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await?;
    // A login that is no superuser is the owner's member while it does this, and no longer.
    let (grant, revoke) = if row.try_get(0)? {
        (String::new(), String::new())
    } else {
        (
            format!("GRANT \"{owner}\" TO CURRENT_USER;"),
            format!("REVOKE \"{owner}\" FROM CURRENT_USER;"),
        )
    };
    // Ids are safe in a name: their alphabet has no quote (ground/ids).
    transaction
        .batch_execute(&format!(
            "{grant} SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '2s';
             SET LOCAL search_path = \"{schema}\"; SET LOCAL ROLE \"{owner}\";
             {statements}; SET LOCAL ROLE NONE; {revoke}"
        ))
        .await?;
    Ok(())
}

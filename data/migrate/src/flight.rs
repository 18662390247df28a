//! One migration of one schema in one round trip, from BEGIN to COMMIT.
//!
//! Nothing waits for an answer, so nothing that is sent may depend on one. What must hold is put so that
//! PostgreSQL itself stops: after the first error it refuses the rest of the transaction, and COMMIT
//! rolls back.

use futures_util::future::{self, BoxFuture, FutureExt};
use terrace_ground_ids::{ServiceName, TenantId};
use tokio_postgres::{Client, error::SqlState};

use crate::{Error, Migration, run::unchanged};

pub(crate) struct Flight<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) schema: String,
    pub(crate) service: &'a ServiceName,
    pub(crate) migration: &'a Migration,
    /// Whether the login needs no membership to act for the owner.
    pub(crate) is_superuser: bool,
    pub(crate) lock_timeout_ms: u64,
}

impl Flight<'_> {
    /// `false`: another runner has applied it meanwhile.
    pub(crate) async fn fly(&self, client: &mut Client) -> Result<bool, Error> {
        let (before, after) = (self.before(), self.after());
        let statements: Vec<String> = self
            .migration
            .statements
            .iter()
            .map(|statement| statement.bind(&self.schema))
            .collect();
        let client = &*client;
        let one = |sql: &'static str| client.batch_execute(sql).boxed();
        // Each statement of the migration is an extended-protocol message of its own, so that none can
        // hold two. All of them are on their way after the first poll.
        let mut parts: Vec<BoxFuture<'_, Result<(), tokio_postgres::Error>>> = vec![one("BEGIN")];
        parts.push(client.batch_execute(&before).boxed());
        for sql in &statements {
            parts.push(client.query_typed(sql, &[]).map(|outcome| outcome.map(drop)).boxed());
        }
        parts.push(client.batch_execute(&after).boxed());
        parts.push(one("COMMIT"));
        let outcomes = future::join_all(parts).await;
        let first = outcomes
            .into_iter()
            .enumerate()
            .find_map(|(at, outcome)| Some((at, outcome.err()?)));
        match first {
            None => Ok(true),
            Some((1, error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => self.there(client).await,
            Some((at, error)) => Err(self.explain(at, statements.len(), error)),
        }
    }

    /// The ledger's row comes first: two runners meet there, and the second fails when the first has
    /// committed. Ids, names and hashes are safe in a text: their alphabets have no quote.
    fn before(&self) -> String {
        let Self {
            schema,
            service,
            migration,
            ..
        } = self;
        let owner = self.tenant.owner_role();
        let grant = match self.is_superuser {
            true => String::new(),
            // The owner's member while it migrates, and no longer.
            false => format!("GRANT \"{owner}\" TO CURRENT_USER;"),
        };
        format!(
            "SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0));
             INSERT INTO terrace.migration (schema, service, number, name, sha256) VALUES ('{schema}', '{service}', {}, '{}', '{}');
             {grant} SET LOCAL lock_timeout = {}; SET LOCAL search_path = \"{schema}\"; SET LOCAL ROLE \"{owner}\"",
            migration.number, migration.name, migration.sha256, self.lock_timeout_ms
        )
    }

    /// The second fence: had a statement changed the role, nothing that it did may stay. The division is
    /// by zero then.
    fn after(&self) -> String {
        let owner = self.tenant.owner_role();
        let revoke = match self.is_superuser {
            true => String::new(),
            false => format!("; REVOKE \"{owner}\" FROM CURRENT_USER"),
        };
        format!("SELECT 1 / (current_user = '{owner}')::pg_catalog.int4; SET LOCAL ROLE NONE{revoke}")
    }

    async fn there(&self, client: &Client) -> Result<bool, Error> {
        let number = i32::try_from(self.migration.number).unwrap_or(i32::MAX);
        let row = client
            .query_one(
                "SELECT sha256 FROM terrace.migration WHERE schema = $1 AND number = $2",
                &[&self.schema, &number],
            )
            .await?;
        unchanged(&self.schema, self.migration, row.try_get(0)?)?;
        Ok(false)
    }

    fn explain(&self, at: usize, statements: usize, error: tokio_postgres::Error) -> Error {
        let migration = self.migration.name.clone();
        let Some(refused) = error.as_db_error() else {
            return Error::Ledger(error);
        };
        // BEGIN and what comes before are two.
        match at.checked_sub(1) {
            Some(statement) if (1..=statements).contains(&statement) => Error::Statement {
                schema: self.schema.clone(),
                migration,
                statement,
                message: refused.message().to_owned(),
                sqlstate: Some(refused.code().code().to_owned()),
            },
            _ if *refused.code() == SqlState::DIVISION_BY_ZERO => Error::Escaped {
                schema: self.schema.clone(),
                migration,
                role: self.tenant.owner_role(),
            },
            _ => Error::Ledger(error),
        }
    }
}

//! Applies a service's migrations to tenant schemas, with a ledger.
//!
//! A migration runs in one transaction, as the tenant's owner role, from statements that the guard
//! has checked and bound to the schema; its ledger row commits with it. So a runner that is killed,
//! or two that run at once, leave every schema at a whole number. data/tenancy calls it when a tenant
//! is created and when a release is activated. It creates no schema and no role.

mod blocking;
mod contraction;
mod files;
mod flight;
mod run;

pub use files::{File, Migration, Migrations};
pub use run::{Config, Progress, Report, apply, apply_all};

/// The ledger. The directory's installation runs it; running it again changes nothing.
pub const LEDGER: &str = "CREATE TABLE IF NOT EXISTS terrace.migration (
    schema     text        NOT NULL,
    service    text        NOT NULL,
    number     integer     NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, number)
)";

/// Why a schema is not where the release wants it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file's name is not `NNNN_name.sql`.
    #[error(
        "`{0}` is not a migration's name: expected four digits, `_`, a name of `a-z`, `0-9` and `_`, `.sql`, like 0001_boards.sql"
    )]
    Name(String),
    /// Two files have one number, or a number is left out.
    #[error("migration {found} follows {previous}: numbers go up by one, from 0001")]
    Order {
        /// The number before.
        previous: u32,
        /// The number that came.
        found: u32,
    },
    /// The guard refused a statement.
    #[error("migration {migration}: {refusal}")]
    Refused {
        /// `0001_boards`.
        migration: String,
        /// Which part, and why.
        refusal: terrace_data_guard::Refusal,
    },
    /// A migration that was applied has another text now.
    #[error(
        "migration {migration} was applied to {schema} with another content (sha256 {applied}, now {found}): write a new migration instead of changing an old one"
    )]
    Changed {
        /// The schema whose ledger disagrees.
        schema: String,
        /// `0001_boards`.
        migration: String,
        /// What was applied.
        applied: String,
        /// What the release has.
        found: String,
    },
    /// PostgreSQL refused a statement. The transaction was rolled back: nothing of it is there.
    #[error("migration {migration} failed on {schema} at statement {statement}: {message}")]
    Statement {
        /// The schema.
        schema: String,
        /// `0001_boards`.
        migration: String,
        /// Counted from 1.
        statement: usize,
        /// What PostgreSQL said.
        message: String,
        /// Its code.
        sqlstate: Option<String>,
    },
    /// A lock could not be had within its budget, several times.
    #[error("migration {migration} could not get a lock on {schema} in {attempts} attempts of {lock_timeout_ms} ms")]
    Locked {
        /// The schema.
        schema: String,
        /// `0001_boards`.
        migration: String,
        /// How often it was tried.
        attempts: u32,
        /// The budget of each attempt.
        lock_timeout_ms: u64,
    },
    /// A migration left the role it must run as. The transaction was rolled back.
    #[error("migration {migration} on {schema} did not end as {role}: refused")]
    Escaped {
        /// The schema.
        schema: String,
        /// `0001_boards`.
        migration: String,
        /// The owner role.
        role: String,
    },
    /// No connection.
    #[error("no connection to the database: {0}")]
    Connect(String),
    /// The ledger cannot be read or written, or the connection was lost.
    #[error("the migration ledger cannot be used: {0}")]
    Ledger(#[from] tokio_postgres::Error),
}

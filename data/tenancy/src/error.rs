//! Why the directory said no.

use terrace_ground_ids::{ServiceName, Slug, TenantId};

/// An error of the directory. None of the messages may reach a client as it is, but for those of
/// [`Error::SlugTaken`], [`Error::Unknown`], [`Error::Invalid`], [`Error::Archive`], [`Error::Buried`], [`Error::Limit`],
/// [`Error::Running`] and [`Error::Busy`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the directory's database.
    #[error("the directory has no connection: {0}")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// The database refused or lost a query.
    #[error("the directory's database refused: {}", reason(.0))]
    Query(#[from] tokio_postgres::Error),
    /// A row holds what no version of this program wrote.
    #[error("the directory holds an unreadable {what}: {value}")]
    Corrupt {
        /// Which column.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// A tenant with this slug exists.
    #[error("a tenant with the slug `{0}` exists already")]
    SlugTaken(Slug),
    /// Nothing has this name or id.
    #[error("there is no {kind} `{id}`")]
    Unknown {
        /// `tenant`, `release`, ...
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// What was given cannot be accepted; the message says why.
    #[error("{0}")]
    Invalid(String),
    /// An operation on the same tenant is not done.
    #[error("{0}")]
    Running(crate::Running),
    /// The replication of a move was not quick enough; the tenant is served where it was.
    #[error("{0}")]
    Lag(String),
    /// An archive cannot be imported here; the message says why, and nothing was written.
    #[error("{0}")]
    Archive(String),
    /// The archive is of a tenant that was deleted here.
    #[error(
        "the tenant {0} was deleted here, and its archive would bring it back; if that is what you want: terrace tenant import --force"
    )]
    Buried(TenantId),
    /// As many of these as there may be; the message says what and how many.
    #[error("{0}")]
    Limit(String),
    /// Something else is being done to the same thing now.
    #[error("{what} is being changed by another operation; try again when it is done")]
    Busy {
        /// The tenant or service.
        what: String,
    },
    /// A component cannot be stored or had.
    #[error(transparent)]
    Objects(#[from] terrace_data_objects::Error),
    /// A migration failed.
    #[error(transparent)]
    Migrate(#[from] terrace_data_migrate::Error),
    /// A release could not be activated: these tenants are not ready for it. Nothing was switched.
    #[error("the release was not activated: {} tenants are not ready, the first is {}: {}", failed.len(), failed[0].0, failed[0].1)]
    NotReady {
        /// Which tenants, and why; never empty.
        failed: Vec<(TenantId, String)>,
    },
    /// The hook of a service failed. The operation stays open and is tried again by `resume`.
    #[error("the {hook} hook of {service} failed: {message}")]
    Hook {
        /// `tenant-created`, `plan-changed`.
        hook: &'static str,
        /// The service.
        service: ServiceName,
        /// What it said.
        message: String,
    },
    /// The observer of the steps stopped the operation.
    #[error("stopped after the step `{step}`: {message}")]
    Stopped {
        /// The last step that is done.
        step: &'static str,
        /// What the observer said.
        message: String,
    },
}

impl Error {
    pub(crate) fn corrupt(what: &'static str, value: impl ToString) -> Self {
        Self::Corrupt {
            what,
            value: value.to_string(),
        }
    }

    pub(crate) fn unknown(kind: &'static str, id: impl ToString) -> Self {
        Self::Unknown {
            kind,
            id: id.to_string(),
        }
    }
}

/// tokio-postgres prints a refusal as "db error"; the message is what one needs.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} ({})", refused.message(), refused.code().code()),
        None => error.to_string(),
    }
}

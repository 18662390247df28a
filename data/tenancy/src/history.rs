//! What happened to releases: who deployed, what was rolled back, and why.

use std::{collections::HashMap, fmt};

use jiff::Timestamp;
use terrace_ground_ids::{ReleaseId, ServiceName};
use tokio_postgres::Transaction;

use crate::{Directory, Error, view};

/// Entries that are kept for each service.
const KEPT_MAX: i64 = 200;
/// Entries of each service that are shown.
const SHOWN_MAX: i64 = 20;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A new release was switched to.
    Deployed,
    /// An operator went back to a release.
    RolledBack,
    /// The platform went back, because the release used up its error budget.
    RolledBackByBudget,
    /// Some tenants were given the release, or others than before.
    CanaryStarted,
    /// Every tenant was given what was a canary.
    CanaryPromoted,
    /// An operator took the canary from its tenants.
    CanaryAborted,
    /// The platform did, because it used up its error budget.
    CanaryAbortedByBudget,
    /// It could not be switched to.
    Failed,
}

impl Happened {
    const ALL: [Self; 8] = [
        Self::Deployed,
        Self::RolledBack,
        Self::RolledBackByBudget,
        Self::CanaryStarted,
        Self::CanaryPromoted,
        Self::CanaryAborted,
        Self::CanaryAbortedByBudget,
        Self::Failed,
    ];

    /// In kebab-case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled-back",
            Self::RolledBackByBudget => "rolled-back-by-budget",
            Self::CanaryStarted => "canary-started",
            Self::CanaryPromoted => "canary-promoted",
            Self::CanaryAborted => "canary-aborted",
            Self::CanaryAbortedByBudget => "canary-aborted-by-budget",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something is done to a release, and by whom; kept in the history.
#[derive(Debug, Clone)]
pub struct Cause {
    /// What is done.
    pub happened: Happened,
    /// An operator's address, or `terrace`.
    pub by: String,
    /// More about it, for people. May be empty.
    pub detail: String,
}

impl Cause {
    /// Without further words.
    pub fn new(happened: Happened, by: impl Into<String>) -> Self {
        Self {
            happened,
            by: by.into(),
            detail: String::new(),
        }
    }

    /// With a sentence about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The release; it may be gone.
    pub release: ReleaseId,
    /// What was done.
    pub happened: Happened,
    /// More about it. May be empty.
    pub detail: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Adds an entry in the transaction of what it tells, and forgets the oldest.
pub(crate) async fn record(
    transaction: &Transaction<'_>,
    service: &ServiceName,
    release: &ReleaseId,
    cause: &Cause,
) -> Result<(), Error> {
    transaction
        .execute(
            "INSERT INTO terrace.release_history (service, release, kind, detail, actor) VALUES ($1, $2, $3, $4, $5)",
            &[
                &service.as_str(),
                &release.as_str(),
                &cause.happened.as_str(),
                &cause.detail,
                &cause.by,
            ],
        )
        .await?;
    transaction
        .execute(
            "DELETE FROM terrace.release_history WHERE service = $1 AND id <=
                (SELECT id FROM terrace.release_history WHERE service = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
            &[&service.as_str(), &KEPT_MAX],
        )
        .await?;
    Ok(())
}

impl Directory {
    /// The last entries of each service, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn release_history(&self) -> Result<HashMap<ServiceName, Vec<Entry>>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                "SELECT service, release, kind, detail, actor, (extract(epoch FROM at) * 1000000)::bigint
                 FROM (SELECT *, row_number() OVER (PARTITION BY service ORDER BY id DESC) AS place FROM terrace.release_history) AS h
                 WHERE place <= $1 ORDER BY service, id DESC",
                &[&SHOWN_MAX],
            )
            .await?;
        let mut found: HashMap<ServiceName, Vec<Entry>> = HashMap::new();
        for row in &rows {
            let kind: &str = row.try_get(2)?;
            let known = Happened::ALL.into_iter().find(|known| known.as_str() == kind);
            let entry = Entry {
                release: view::parsed(row, 1, "release id")?,
                happened: known.ok_or_else(|| Error::Corrupt {
                    what: "entry of a release's history",
                    value: kind.to_owned(),
                })?,
                detail: row.try_get(3)?,
                by: row.try_get(4)?,
                at: Timestamp::from_microsecond(row.try_get(5)?).unwrap_or_default(),
            };
            found
                .entry(view::parsed(row, 0, "service name")?)
                .or_default()
                .push(entry);
        }
        Ok(found)
    }
}

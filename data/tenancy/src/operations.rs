//! What was done to tenants and what is being done, for people who ask.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use terrace_ground_ids::TenantId;
use tokio_postgres::Row;

use crate::{Directory, Error, Step, lifecycle::Operation, view};

/// What is done to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is made.
    Create,
    /// It is removed, with everything of it.
    Delete,
    /// It is put on hold.
    Suspend,
    /// It is served again.
    Resume,
    /// It pays for something else.
    Plan,
    /// It gets another name or another slug.
    Rename,
    /// It is copied out.
    Export,
    /// It is made from an archive.
    Import,
    /// It goes to another cluster.
    Move,
    /// It is made beside a tenant, from an archive of it, to take its place.
    Restore,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Delete,
        Self::Suspend,
        Self::Resume,
        Self::Plan,
        Self::Rename,
        Self::Export,
        Self::Import,
        Self::Restore,
        Self::Move,
    ];

    /// The kind as the directory stores it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Plan => "plan",
            Self::Rename => "rename",
            Self::Export => "export",
            Self::Import => "import",
            Self::Restore => "restore",
            Self::Move => "move",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its steps, in the order in which they are walked. A creation that takes a spare begins with
    /// `claimed`; one that meets a new release walks some steps twice.
    pub const fn steps(self) -> &'static [Step] {
        match self {
            Self::Create => &[Step::Placed, Step::Built, Step::Migrated, Step::Hooked, Step::Active],
            Self::Delete => &[Step::Marked, Step::Dropped, Step::Forgotten, Step::Deleted],
            Self::Suspend => &[Step::Suspended, Step::Quiet],
            Self::Resume => &[Step::Served, Step::Resumed],
            Self::Plan => &[Step::Planned, Step::Told],
            Self::Rename => &[Step::Reserved, Step::Renamed],
            Self::Export => &[Step::Opened, Step::Exported],
            Self::Import => &[
                Step::Received,
                Step::Built,
                Step::Prepared,
                Step::Loaded,
                Step::Streamed,
                Step::Verified,
                Step::Migrated,
                Step::Hooked,
                Step::Active,
            ],
            Self::Move => &[
                Step::Chosen,
                Step::Prepared,
                Step::Followed,
                Step::Copied,
                Step::Switched,
                Step::Parted,
                Step::Moved,
            ],
            Self::Restore => &[
                Step::Received,
                Step::Built,
                Step::Prepared,
                Step::Loaded,
                Step::Streamed,
                Step::Verified,
                Step::Migrated,
                Step::Hooked,
                Step::Swapped,
            ],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation that stands in another one's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub operation: i64,
    /// What it does.
    pub kind: Kind,
    /// Whose it is.
    pub tenant: TenantId,
    /// The last step that is done.
    pub step: Step,
    /// Whether a node is at it now; otherwise it was left half done.
    pub alive: bool,
}

impl Running {
    pub(crate) fn of(operation: &Operation, alive: bool) -> Self {
        Self {
            operation: operation.id,
            kind: operation.kind,
            tenant: operation.tenant.clone(),
            step: operation.step,
            alive,
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            kind,
            tenant,
            step,
            alive,
        } = self;
        let step = step.as_str();
        if *alive {
            write!(
                f,
                "operation {operation} ({kind}) runs on the tenant {tenant} now, after its step `{step}`; try again when it is done"
            )
        } else {
            write!(
                f,
                "operation {operation} ({kind}) on the tenant {tenant} stopped after its step `{step}`; finish it first: terrace tenant finish {tenant}"
            )
        }
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Begun, and not done: a node is at it, or will be.
    Running,
    /// Done.
    Done,
    /// Given up for good: a deletion overtook it, or its reader left.
    Cancelled,
}

/// One operation, as the directory has it.
#[derive(Debug, Clone)]
pub struct OperationFacts {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it does.
    pub kind: Kind,
    /// How it stands.
    pub state: Standing,
    /// What was done, and when, in order.
    pub steps: Vec<(Step, Timestamp)>,
    /// The operator who asked; `None`: the platform itself.
    pub actor: Option<String>,
    /// What went wrong at the last attempt.
    pub error: Option<String>,
    /// How often it was tried since its last step.
    pub attempts: u32,
    /// When it is tried again by itself, after a failure.
    pub retry_at: Option<Timestamp>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its steps counted.
    pub evidence: Json,
}

impl OperationFacts {
    /// The steps that are still to come, of an operation that is not done.
    pub fn remaining(&self) -> &'static [Step] {
        let all = self.kind.steps();
        if self.state != Standing::Running {
            return &[];
        }
        let last = self.steps.last().map(|(step, _)| *step);
        let done = match last {
            Some(Step::Claimed) => Some(Step::Migrated),
            last => last,
        };
        let next = done
            .and_then(|done| all.iter().position(|step| *step == done))
            .map_or(0, |at| at + 1);
        all.get(next..).unwrap_or(&[])
    }
}

const COLUMNS: &str = "id, tenant, kind, state, steps::text, actor, error, attempts, (extract(epoch FROM retry_at) * 1000000)::bigint,
    (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch FROM finished_at) * 1000000)::bigint, evidence::text";

impl Directory {
    /// The newest operations, at most `limit`: of one tenant (also of one that is gone), or of all.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn operations(&self, tenant: Option<&TenantId>, limit: u32) -> Result<Vec<OperationFacts>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terrace.lifecycle WHERE $1::text IS NULL OR tenant = $1 ORDER BY id DESC LIMIT $2"
        );
        let client = self.pool.get().await?;
        let rows = client
            .query(
                &sql,
                &[&tenant.map(TenantId::as_str), &i64::from(limit.clamp(1, 1_000))],
            )
            .await?;
        rows.iter().map(facts).collect()
    }

    /// The operation that was begun on a tenant and is not done; if there is none, the restore that is
    /// being made beside it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn running_operation(&self, tenant: &TenantId) -> Result<Option<OperationFacts>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terrace.lifecycle
             WHERE state = 'running' AND (tenant = $1 OR kind = 'restore' AND input ->> 'of' = $1)
             ORDER BY tenant = $1 DESC, id LIMIT 1"
        );
        let client = self.pool.get().await?;
        let row = client.query_opt(&sql, &[&tenant.as_str()]).await?;
        row.as_ref().map(facts).transpose()
    }
}

fn facts(row: &Row) -> Result<OperationFacts, Error> {
    #[derive(Deserialize)]
    struct Done {
        step: String,
        at: Timestamp,
    }
    let (kind, state, steps, evidence): (&str, &str, &str, &str) =
        (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(11)?);
    let steps: Vec<Done> = serde_json::from_str(steps).map_err(|_| Error::corrupt("list of steps", steps))?;
    let time = |column: usize| -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> = row.try_get(column)?;
        Ok(micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
    };
    Ok(OperationFacts {
        id: row.try_get(0)?,
        tenant: view::parsed(row, 1, "tenant id")?,
        kind: Kind::parse(kind).ok_or_else(|| Error::corrupt("kind of operation", kind))?,
        state: match state {
            "running" => Standing::Running,
            "done" => Standing::Done,
            "cancelled" => Standing::Cancelled,
            other => return Err(Error::corrupt("state of an operation", other)),
        },
        steps: steps
            .into_iter()
            .map(|done| {
                let step = Step::parse(&done.step).ok_or_else(|| Error::corrupt("step", &done.step))?;
                Ok((step, done.at))
            })
            .collect::<Result<_, Error>>()?,
        actor: row.try_get(5)?,
        error: row.try_get(6)?,
        attempts: u32::try_from(row.try_get::<_, i32>(7)?).unwrap_or(0),
        retry_at: time(8)?,
        started_at: time(9)?.unwrap_or_default(),
        finished_at: time(10)?,
        evidence: serde_json::from_str(evidence).map_err(|_| Error::corrupt("evidence", evidence))?,
    })
}

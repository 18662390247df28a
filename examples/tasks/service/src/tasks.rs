//! `/api/tasks/tasks`, and the tasks of a board.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod update;

use terrace_sdk::{db, prelude::*};

/// A column of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Column {
    /// Nobody has begun.
    Todo,
    /// Somebody is at it.
    Doing,
    /// There is nothing left to do.
    Done,
}

impl Column {
    pub(crate) const ALL: [Self; 3] = [Self::Todo, Self::Doing, Self::Done];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Todo => "todo",
            Self::Doing => "doing",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Result<Self, db::Error> {
        let found = Self::ALL.into_iter().find(|column| column.as_str() == text);
        found.ok_or_else(|| db::Error::bad_value(format!("no column is called `{text}`")))
    }
}

/// A task.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Task {
    /// Its number.
    pub(crate) id: i64,
    /// The board that it is on.
    pub(crate) board: i64,
    /// What is to be done.
    pub(crate) title: String,
    /// More about it.
    pub(crate) description: String,
    /// The column that it is in.
    pub(crate) column: Column,
    /// Its place in the column: smaller is higher. Between two others, send a number between theirs.
    pub(crate) position: f64,
    /// The member who does it.
    #[schema(required)]
    pub(crate) assignee: Option<String>,
    /// The member who made it.
    pub(crate) created_by: String,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    pub(crate) updated_at: Timestamp,
    /// Grows by one with each change. Send it as `If-Match: "<version>"` to change what you saw.
    pub(crate) version: i64,
    /// How many comments it has.
    pub(crate) comments_count: i64,
}

impl FromRow for Task {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            id: row.get("id")?,
            board: row.get("board")?,
            title: row.get("title")?,
            description: row.get("description")?,
            column: Column::parse(&row.get::<String>("stage")?)?,
            position: row.get("position")?,
            assignee: row.get("assignee")?,
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
            version: row.get("version")?,
            comments_count: row.get("comments_count")?,
        })
    }
}

/// What subscribers learn of a task that is gone.
#[derive(Debug, serde::Serialize)]
pub(crate) struct TaskDeleted {
    pub(crate) id: i64,
    pub(crate) board: i64,
}

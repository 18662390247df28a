//! `/api/tasks/boards`

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;

use terrace_sdk::{db, prelude::*};

/// A board: three columns of tasks.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Board {
    /// Its number.
    pub(crate) id: i64,
    /// What its members call it.
    pub(crate) title: String,
    /// The member who made it.
    pub(crate) created_by: String,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// How many tasks it has, in all columns.
    pub(crate) tasks_count: i64,
}

impl FromRow for Board {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
            tasks_count: row.get("tasks_count")?,
        })
    }
}

/// The topic of everything that happens on a board.
pub(crate) fn topic(board: i64) -> String {
    format!("board/{board}")
}

//! `/api/tasks/tasks/{task}/comments`

pub(crate) mod create;
pub(crate) mod list;

use terrace_sdk::{db, prelude::*};

/// What a member said about a task.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Comment {
    /// Its number.
    pub(crate) id: i64,
    /// The task that it is about.
    pub(crate) task: i64,
    /// What was said.
    pub(crate) text: String,
    /// The member who said it.
    pub(crate) author: String,
    /// What the member was called then.
    pub(crate) author_name: String,
    /// When it was said.
    pub(crate) created_at: Timestamp,
}

impl FromRow for Comment {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            id: row.get("id")?,
            task: row.get("task")?,
            text: row.get("text")?,
            author: row.get("author")?,
            author_name: row.get("author_name")?,
            created_at: row.get("created_at")?,
        })
    }
}

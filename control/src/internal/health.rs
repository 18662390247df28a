//! `GET /internal/health`: whether this node answers, whatever its database does.

use axum::Json;
use serde::Serialize;

/// That the node answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// Touches nothing but the executor: a supervisor must not restart a node whose database is away.
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

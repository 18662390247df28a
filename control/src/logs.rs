//! `GET /api/control/logs`: what services wrote, and what ended their requests.
//!
//! A page of lines at once, or the lines as they come: a client that has read up to a number asks for
//! what is after it, and says how long it would wait for a line. That is a stream that any client can
//! follow, through any proxy.

use std::time::Duration;

use axum::{
    Json,
    extract::{self, Query, rejection::QueryRejection},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_error::Code;
use terrace_ground_ids::{RequestId, ServiceName, Slug, TenantId};
use utoipa::{IntoParams, ToSchema};

use crate::{State, contract::Problem, platform::TenantRef, refusal::Refusal, validation::Validation};

/// Lines in one answer.
const LINES_MAX: usize = 1_000;
/// Lines in one answer, unless asked otherwise.
const LINES: usize = 200;
/// How long an answer may be held back for a line to come.
const WAIT_SECONDS_MAX: u64 = 30;

/// What may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Only lines of this service.
    service: Option<String>,
    /// Only lines of this tenant, by its id or its slug.
    tenant: Option<String>,
    /// Only lines that matter at least as much: `debug`, `info`, `warn`, `error`.
    level: Option<LogLevel>,
    /// Only lines after this number: the `last` of the answer before.
    after: Option<u64>,
    /// The newest lines, at most so many: 1 to 1000. Default 200.
    limit: Option<usize>,
    /// When there is no line yet, wait for one for so many seconds: 0 to 30. Default 0.
    wait_seconds: Option<u64>,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// What happened.
    Info,
    /// What should not have.
    Warn,
    /// What failed.
    Error,
}

/// One line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LogLine {
    /// Its place among all lines.
    pub number: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The service that wrote it.
    #[schema(value_type = String, example = "tasks")]
    pub service: ServiceName,
    /// The tenant whose request it was.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The tenant's slug; null when it is gone.
    #[schema(value_type = Option<String>, required = true)]
    pub slug: Option<Slug>,
    /// The request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// How much it matters.
    pub level: LogLevel,
    /// The text, on one line.
    pub message: String,
}

/// Lines in the order in which they were written.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LogLines {
    /// The lines, oldest first.
    pub items: Vec<LogLine>,
    /// What to ask `after` next.
    pub last: u64,
}

/// What the platform is asked for; everything in it was checked.
#[derive(Debug, Clone)]
pub struct LogFilter {
    /// Only lines of this service.
    pub service: Option<ServiceName>,
    /// Only lines of this tenant.
    pub tenant: Option<TenantRef>,
    /// Only lines of this level or above.
    pub level: LogLevel,
    /// Only lines after this number.
    pub after: u64,
    /// The newest lines, at most so many.
    pub limit: usize,
    /// How long to wait for a first line.
    pub wait: Duration,
}

/// Shows what services wrote, and what ended their requests.
///
/// A node keeps the last 500 lines of each service. To follow, ask again with `after` as `last` said,
/// and `wait_seconds`.
#[utoipa::path(
    get, path = "/api/control/logs", operation_id = "control_list_logs", tag = "services", security(("session" = [])),
    params(LogQuery),
    responses(
        (status = OK, body = LogLines, description = "Lines, oldest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<LogLines>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::detail(Code::MalformedRequest, error.body_text()))?;
    let mut validation = Validation::new();
    let service = query
        .service
        .and_then(|text| validation.word::<ServiceName>("/service", &text, "a service's name, like tasks"));
    let tenant = query
        .tenant
        .and_then(|text| validation.word::<TenantRef>("/tenant", &text, "a tenant's slug or id, like acme"));
    let limit = query.limit.unwrap_or(LINES);
    if !(1..=LINES_MAX).contains(&limit) {
        validation.reject("/limit", format!("must be 1 to {LINES_MAX}"));
    }
    let wait = query.wait_seconds.unwrap_or(0);
    if wait > WAIT_SECONDS_MAX {
        validation.reject("/wait_seconds", format!("must be 0 to {WAIT_SECONDS_MAX}"));
    }
    validation.finish()?;
    let filter = LogFilter {
        service,
        tenant,
        level: query.level.unwrap_or(LogLevel::Debug),
        after: query.after.unwrap_or(0),
        limit,
        wait: Duration::from_secs(wait),
    };
    // Those who wait hold a place among the live streams, and leave when the node stops.
    let _place = if wait > 0 {
        Some(state.streams().clone().try_acquire_owned().map_err(|_| {
            Refusal::busy(
                "Too many live streams are open; close another one, or ask without waiting.",
                5,
            )
        })?)
    } else {
        None
    };
    let mut closing = state.closing();
    tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => Err(Refusal::busy("The node is stopping; ask again.", 1)),
        lines = state.platform().logs(&filter) => Ok(Json(lines?)),
    }
}

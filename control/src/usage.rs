//! `GET /api/control/usage`: what tenants used of services.

use axum::{
    Json,
    extract::{self, Query, rejection::QueryRejection},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use terrace_ground_error::Code;
use terrace_ground_ids::{ServiceName, Slug, TenantId};
use utoipa::{IntoParams, ToSchema};

use crate::{State, contract::Problem, platform::TenantRef, refusal::Refusal, validation::Validation};

/// The time that is asked about, unless it is said.
const LAST: SignedDuration = SignedDuration::from_hours(24);
/// The longest time with a row for each hour: a month.
const HOURLY_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);

/// What may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// Only this tenant's, by its id or its slug; by its id also after it was deleted.
    tenant: Option<String>,
    /// Only of this service.
    service: Option<String>,
    /// Hours that begin at this time or later, as RFC 3339. Default: 24 hours before `until`.
    from: Option<String>,
    /// Hours that begin before this time, as RFC 3339. Default: now.
    until: Option<String>,
    /// A row for each hour, instead of one for the whole time: at most 31 days. Default false.
    hourly: Option<bool>,
}

/// What one tenant used of one service. A call between services counts for the one that is called; the
/// caller's own row has the time that it waited.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageRow {
    /// The tenant's id.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its slug; null when it is gone.
    #[schema(value_type = Option<String>, required = true)]
    pub slug: Option<Slug>,
    /// The service.
    #[schema(value_type = String, example = "tasks")]
    pub service: ServiceName,
    /// When the hour began; null when the row is for the whole time.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub hour: Option<Timestamp>,
    /// Requests that ended.
    pub requests: u64,
    /// Those that trapped or passed a limit.
    pub failures: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Time from start to end, waits included, in microseconds.
    pub wall_us: u64,
    /// The most memory that one request had, in bytes.
    pub memory_peak_bytes: u64,
    /// Time that was waited for the database, in microseconds.
    pub sql_us: u64,
    /// Statements, with the begins and ends of transactions.
    pub statements: u64,
    /// Bytes of bodies to other hosts.
    pub sent_bytes: u64,
    /// Bytes of bodies from other hosts.
    pub received_bytes: u64,
}

/// Usage over some time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageReport {
    /// Hours that begin at this time or later.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Hours that begin before this time.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// The most processor time first; with a row for each hour, the newest hour first. At most 10,000.
    pub items: Vec<UsageRow>,
}

/// What the platform is asked for; everything in it was checked.
#[derive(Debug, Clone)]
pub struct UsageFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantRef>,
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Hours that begin at this time or later.
    pub from: Timestamp,
    /// Hours that begin before this time.
    pub until: Timestamp,
    /// A row for each hour.
    pub is_hourly: bool,
}

/// Shows what tenants used of services: requests, processor time, memory, database, traffic.
///
/// Kept by hour for 400 days. Each tenant's stream gets an event `terrace.usage.recorded` for each hour
/// and service, once, when the hour is over.
#[utoipa::path(
    get, path = "/api/control/usage", operation_id = "control_show_usage", tag = "meters", security(("session" = [])),
    params(UsageQuery),
    responses(
        (status = OK, body = UsageReport, description = "Rows by tenant and service"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Result<Json<UsageReport>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::detail(Code::MalformedRequest, error.body_text()))?;
    let filter = check(&query, Timestamp::now())?;
    Ok(Json(state.platform().usage(&filter).await?))
}

fn check(query: &UsageQuery, now: Timestamp) -> Result<UsageFilter, Refusal> {
    let mut validation = Validation::new();
    let tenant = query
        .tenant
        .as_ref()
        .and_then(|text| validation.word::<TenantRef>("/tenant", text, "a tenant's slug or id, like acme"));
    let service = query
        .service
        .as_ref()
        .and_then(|text| validation.word::<ServiceName>("/service", text, "a service's name, like tasks"));
    let mut time = |pointer: &'static str, text: &Option<String>| {
        text.as_ref()
            .and_then(|text| validation.word::<Timestamp>(pointer, text, "a time, like 2026-01-31T00:00:00Z"))
    };
    let until = time("/until", &query.until).unwrap_or(now);
    let from = time("/from", &query.from)
        .or_else(|| until.checked_sub(LAST).ok())
        .unwrap_or(until);
    let is_hourly = query.hourly.unwrap_or(false);
    if from > until {
        validation.reject("/from", "must be before `until`");
    } else if is_hourly && until.duration_since(from) > HOURLY_MAX {
        validation.reject(
            "/hourly",
            "a row for each hour is for at most 31 days; ask for less time, or for sums",
        );
    }
    validation.finish()?;
    Ok(UsageFilter {
        tenant,
        service,
        from,
        until,
        is_hourly,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: Option<&str>, until: Option<&str>, hourly: bool) -> UsageQuery {
        UsageQuery {
            tenant: None,
            service: None,
            from: from.map(str::to_owned),
            until: until.map(str::to_owned),
            hourly: Some(hourly),
        }
    }

    #[test]
    fn the_last_day_is_what_is_asked_about_and_a_year_of_hours_is_refused() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let filter = check(&query(None, None, false), now).ok().unwrap();
        assert_eq!(
            (filter.from.to_string().as_str(), filter.until),
            ("2026-02-28T12:00:00Z", now)
        );
        let filter = check(&query(None, Some("2026-01-31T00:00:00Z"), true), now)
            .ok()
            .unwrap();
        assert_eq!(filter.from.to_string(), "2026-01-30T00:00:00Z");
        let year = (Some("2025-03-01T00:00:00Z"), Some("2026-03-01T00:00:00Z"));
        assert!(check(&query(year.0, year.1, false), now).is_ok());
        assert!(check(&query(year.0, year.1, true), now).is_err());
        assert!(check(&query(year.1, year.0, false), now).is_err());
        assert!(check(&query(Some("yesterday"), None, false), now).is_err());
    }
}

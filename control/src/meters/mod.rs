//! `/api/control/meters`: requests, errors and latencies of the last minute.

mod show;
mod stream;

// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use show::*;
pub(crate) use stream::*;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use terrace_ground_ids::{RequestId, ServiceName, Slug, TenantId};
use terrace_ground_telemetry::{Figures, Snapshot};
use utoipa::ToSchema;

/// The last minute of one node.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Meters {
    /// When the figures were taken.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How far they look back.
    #[schema(example = 60)]
    pub window_seconds: u64,
    /// Over everything.
    pub totals: MetersTotals,
    /// By tenant, busiest first.
    pub tenants: Vec<TenantMeters>,
    /// By service, busiest first.
    pub services: Vec<ServiceMeters>,
    /// By second, oldest first.
    pub series: Vec<MetersPoint>,
    /// The last 50 errors, newest first.
    pub errors: Vec<MetersError>,
}

/// Figures over the window.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct MetersTotals {
    /// Requests in the window.
    pub requests: u64,
    /// Answers of 500 and above in the window.
    pub errors: u64,
    /// Requests a second, over the window.
    pub rate_per_second: f64,
    /// Median latency in milliseconds; 0 without requests.
    pub p50_ms: f64,
    /// 99th percentile latency in milliseconds; 0 without requests.
    pub p99_ms: f64,
}

/// One tenant's figures.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantMeters {
    /// The tenant's id.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its slug; null when it was deleted within the window.
    #[schema(value_type = Option<String>, required = true)]
    pub slug: Option<Slug>,
    /// Requests in the window.
    pub requests: u64,
    /// Answers of 500 and above in the window.
    pub errors: u64,
    /// Requests a second, over the window.
    pub rate_per_second: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile latency in milliseconds.
    pub p99_ms: f64,
}

/// One service's figures.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceMeters {
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// Requests in the window.
    pub requests: u64,
    /// Answers of 500 and above in the window.
    pub errors: u64,
    /// Requests a second, over the window.
    pub rate_per_second: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile latency in milliseconds.
    pub p99_ms: f64,
}

/// One second.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MetersPoint {
    /// The second.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Requests in it.
    pub requests: u64,
    /// Answers of 500 and above in it.
    pub errors: u64,
    /// 99th percentile latency in milliseconds.
    pub p99_ms: f64,
}

/// One error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MetersError {
    /// When it was answered.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The request's id, as in the log.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The tenant's id.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// The problem code, if the answer was one.
    #[schema(required = true)]
    pub code: Option<String>,
}

impl Meters {
    /// What a node's meters say at `at`. `slug_of` is asked once for each tenant with requests, so it
    /// should answer from memory.
    pub fn from_snapshot(snapshot: Snapshot, at: Timestamp, slug_of: impl Fn(&TenantId) -> Option<Slug>) -> Self {
        let ago = |seconds: u64| {
            let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
            second.checked_sub(ago).unwrap_or(second)
        };
        Self {
            at,
            window_seconds: snapshot.window_seconds,
            totals: totals(&snapshot.totals),
            tenants: snapshot
                .tenants
                .iter()
                .map(|(tenant, figures)| of_tenant(tenant, slug_of(tenant), figures))
                .collect(),
            services: snapshot
                .services
                .iter()
                .map(|(service, figures)| of_service(service, figures))
                .collect(),
            series: snapshot
                .series
                .iter()
                .map(|point| MetersPoint {
                    at: ago(point.seconds_ago),
                    requests: point.requests,
                    errors: point.errors,
                    p99_ms: point.p99_ms,
                })
                .collect(),
            errors: snapshot
                .errors
                .into_iter()
                .map(|line| MetersError {
                    at: Timestamp::from_microsecond(line.at_micros).unwrap_or(at),
                    request_id: line.request_id,
                    tenant: line.tenant,
                    service: line.service,
                    method: line.method,
                    path: line.path,
                    status: line.status,
                    code: line.code.map(str::to_owned),
                })
                .collect(),
        }
    }
}

fn totals(figures: &Figures) -> MetersTotals {
    let Figures {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    } = *figures;
    MetersTotals {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    }
}

fn of_tenant(tenant: &TenantId, slug: Option<Slug>, figures: &Figures) -> TenantMeters {
    let Figures {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    } = *figures;
    TenantMeters {
        tenant: tenant.clone(),
        slug,
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    }
}

fn of_service(service: &ServiceName, figures: &Figures) -> ServiceMeters {
    let Figures {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    } = *figures;
    ServiceMeters {
        service: service.clone(),
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    }
}

//! Requests, errors and latencies of the last 60 seconds, by tenant and by service.
//!
//! One bucket a second, 60 buckets, a fixed histogram in each: recording a request takes one short
//! lock and no allocation after the first request of a tenant in a second.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use terrace_ground_ids::{RequestId, ServiceName, TenantId};

/// How many seconds the meters look back.
const WINDOW_SECONDS: u64 = 60;
/// How many errors are kept to be shown.
const ERRORS_MAX: usize = 50;
/// Upper edges of the latency histogram, in microseconds: 12 per decade from 50 µs to 60 s.
const EDGES: usize = 74;

/// What became of one request.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Whose request it was.
    pub tenant: &'a TenantId,
    /// Which service answered.
    pub service: &'a ServiceName,
    /// The request's id.
    pub request: &'a RequestId,
    /// The HTTP method.
    pub method: &'a str,
    /// The path without its query: queries may hold what should not be kept.
    pub path: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// The problem code, if the answer was one.
    pub code: Option<&'static str>,
    /// From the first byte read to the response's head.
    pub latency: Duration,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
}

/// Figures over the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
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

/// One second of the series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesPoint {
    /// How many seconds ago: 59 to 0.
    pub seconds_ago: u64,
    /// Requests in that second.
    pub requests: u64,
    /// Errors in that second.
    pub errors: u64,
    /// 99th percentile latency in milliseconds.
    pub p99_ms: f64,
}

/// One error, for the console.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorLine {
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// The id that the client was given.
    pub request_id: RequestId,
    /// The tenant.
    pub tenant: TenantId,
    /// The service.
    pub service: ServiceName,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status.
    pub status: u16,
    /// The problem code.
    pub code: Option<&'static str>,
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The window in seconds.
    pub window_seconds: u64,
    /// All requests.
    pub totals: Figures,
    /// By tenant, busiest first.
    pub tenants: Vec<(TenantId, Figures)>,
    /// By service, busiest first.
    pub services: Vec<(ServiceName, Figures)>,
    /// 60 points, oldest first.
    pub series: Vec<SeriesPoint>,
    /// The last errors, newest first.
    pub errors: Vec<ErrorLine>,
}

/// The meters of one node.
#[derive(Debug)]
pub struct Meters {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seconds: VecDeque<Second>,
    errors: VecDeque<ErrorLine>,
}

#[derive(Debug, Default)]
struct Second {
    number: u64,
    all: Histogram,
    tenants: HashMap<TenantId, Histogram>,
    services: HashMap<ServiceName, Histogram>,
}

#[derive(Debug, Clone)]
struct Histogram {
    requests: u64,
    errors: u64,
    counts: Box<[u32; EDGES]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            requests: 0,
            errors: 0,
            counts: Box::new([0; EDGES]),
        }
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::new(State::default()),
        }
    }
}

impl Meters {
    /// Records one finished request. Called once per request, by the gateway.
    pub fn record(&self, outcome: &Outcome<'_>) {
        let now = self.start.elapsed().as_secs();
        let failed = outcome.status >= 500;
        let edge = edge_index(outcome.latency);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let second = state.second(now);
        second.all.record(edge, failed);
        if let Some(histogram) = second.tenants.get_mut(outcome.tenant) {
            histogram.record(edge, failed);
        } else {
            second
                .tenants
                .entry(outcome.tenant.clone())
                .or_default()
                .record(edge, failed);
        }
        if let Some(histogram) = second.services.get_mut(outcome.service) {
            histogram.record(edge, failed);
        } else {
            second
                .services
                .entry(outcome.service.clone())
                .or_default()
                .record(edge, failed);
        }
        if failed {
            state.errors.truncate(ERRORS_MAX - 1);
            state.errors.push_front(ErrorLine {
                at_micros: outcome.at_micros,
                request_id: outcome.request.clone(),
                tenant: outcome.tenant.clone(),
                service: outcome.service.clone(),
                method: outcome.method.to_owned(),
                path: outcome.path.to_owned(),
                status: outcome.status,
                code: outcome.code,
            });
        }
    }

    /// The figures of the last 60 seconds.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.start.elapsed().as_secs();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.second(now);
        let mut all = Histogram::default();
        let mut tenants: HashMap<TenantId, Histogram> = HashMap::new();
        let mut services: HashMap<ServiceName, Histogram> = HashMap::new();
        let mut by_second: HashMap<u64, SeriesPoint> = HashMap::new();
        for second in &state.seconds {
            all.add(&second.all);
            for (tenant, histogram) in &second.tenants {
                tenants.entry(tenant.clone()).or_default().add(histogram);
            }
            for (service, histogram) in &second.services {
                services.entry(service.clone()).or_default().add(histogram);
            }
            let seconds_ago = now - second.number;
            by_second.insert(
                seconds_ago,
                SeriesPoint {
                    seconds_ago,
                    requests: second.all.requests,
                    errors: second.all.errors,
                    p99_ms: second.all.quantile_ms(0.99),
                },
            );
        }
        let series = (0..WINDOW_SECONDS)
            .rev()
            .map(|seconds_ago| {
                by_second.remove(&seconds_ago).unwrap_or(SeriesPoint {
                    seconds_ago,
                    requests: 0,
                    errors: 0,
                    p99_ms: 0.0,
                })
            })
            .collect();
        Snapshot {
            window_seconds: WINDOW_SECONDS,
            totals: all.figures(),
            tenants: busiest_first(tenants),
            services: busiest_first(services),
            series,
            errors: state.errors.iter().cloned().collect(),
        }
    }
}

fn busiest_first<K>(map: HashMap<K, Histogram>) -> Vec<(K, Figures)> {
    let mut rows: Vec<_> = map
        .into_iter()
        .map(|(key, histogram)| (key, histogram.figures()))
        .collect();
    rows.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.requests));
    rows
}

impl State {
    /// The bucket of second `now`, after forgetting what is older than the window.
    fn second(&mut self, now: u64) -> &mut Second {
        while self
            .seconds
            .front()
            .is_some_and(|second| second.number + WINDOW_SECONDS <= now)
        {
            self.seconds.pop_front();
        }
        if self.seconds.back().is_none_or(|second| second.number < now) {
            self.seconds.push_back(Second {
                number: now,
                ..Second::default()
            });
        }
        let last = self.seconds.len() - 1;
        &mut self.seconds[last]
    }
}

impl Histogram {
    fn record(&mut self, edge: usize, failed: bool) {
        self.requests += 1;
        self.errors += u64::from(failed);
        self.counts[edge] += 1;
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
    }

    /// The upper edge of the bucket in which the quantile falls: never better than the truth.
    fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank is a small positive number"
        )]
        let rank = (self.requests as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return edge_micros(index) / 1000.0;
            }
        }
        edge_micros(EDGES - 1) / 1000.0
    }

    fn figures(&self) -> Figures {
        #[expect(clippy::cast_precision_loss, reason = "counts of one minute are far below 2^52")]
        let rate_per_second = self.requests as f64 / WINDOW_SECONDS as f64;
        Figures {
            requests: self.requests,
            errors: self.errors,
            rate_per_second,
            p50_ms: self.quantile_ms(0.5),
            p99_ms: self.quantile_ms(0.99),
        }
    }
}

fn edge_micros(index: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an index below 100")]
    let exponent = index as f64 / 12.0;
    50.0 * 10_f64.powf(exponent)
}

fn edge_index(latency: Duration) -> usize {
    let micros = latency.as_secs_f64() * 1e6;
    if micros <= 50.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the histogram"
    )]
    let index = ((micros / 50.0).log10() * 12.0).ceil() as usize;
    index.min(EDGES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_what_the_snapshot_says() {
        let meters = Meters::default();
        let (tenant, service, request) = (TenantId::random(), "tasks".parse().unwrap(), RequestId::random());
        for (status, millis) in [(200, 1), (200, 2), (502, 100)] {
            let outcome = Outcome {
                tenant: &tenant,
                service: &service,
                request: &request,
                method: "GET",
                path: "/",
                status,
                code: None,
                latency: Duration::from_millis(millis),
                at_micros: 0,
            };
            meters.record(&outcome);
        }
        let snapshot = meters.snapshot();
        assert_eq!(
            (snapshot.totals.requests, snapshot.totals.errors, snapshot.errors.len()),
            (3, 1, 1)
        );
        assert_eq!(snapshot.tenants[0].0, tenant);
        assert_eq!(snapshot.series.len(), 60);
        assert!(
            snapshot.totals.p99_ms >= 100.0 && snapshot.totals.p99_ms < 125.0,
            "{}",
            snapshot.totals.p99_ms
        );
        assert!(snapshot.totals.p50_ms >= 2.0 && snapshot.totals.p50_ms < 2.5);
    }
}

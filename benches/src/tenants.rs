//! Creating a tenant: schemas, roles and migrations of every service, and its owner.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use serde_json::json;
use terrace_tests_harness::{Options, Terrace};

use crate::Figure;

const TENANTS: usize = 60;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options::default()).await?;
    let client = terrace.client();
    let mut took = Vec::with_capacity(TENANTS);
    for number in 0..TENANTS {
        let body = json!({ "slug": format!("figure-{number}"), "name": "Figure", "plan": "free" });
        let start = Instant::now();
        client
            .control(Method::POST, "/api/control/tenants", Some(body))
            .await?
            .success()?;
        took.push(start.elapsed());
    }
    let (p50, p99) = quantiles(&mut took);
    let ours = format!(
        "p50 {:.0} ms, p99 {:.0} ms",
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3
    );
    Ok(vec![Figure {
        what: "create a tenant: three services, by the API".to_owned(),
        ours,
        peer: "none in this run".to_owned(),
        ratio: "-".to_owned(),
    }])
}

/// The median and the 99th percentile.
pub(crate) fn quantiles(took: &mut [Duration]) -> (Duration, Duration) {
    took.sort_unstable();
    (took[took.len() / 2], took[(took.len() * 99 / 100).min(took.len() - 1)])
}

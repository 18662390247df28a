//! `GET /internal/metrics`: what the node counts, as OpenMetrics text for a scraper.

mod databases;

use std::fmt;

use axum::response::IntoResponse;
use http::header;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use terrace_compute_engine::{Stats, Usage};
use terrace_ground_ids::{ServiceName, TenantId};

use super::database;

/// OpenMetrics' own media type.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted, at one moment.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Since the node's start, by tenant and service.
    pub(crate) usage: Vec<(TenantId, ServiceName, Usage)>,
    /// What the engine holds.
    pub(crate) stats: Stats,
}

type Pair = [(&'static str, String); 2];
type Amount = fn(&Usage) -> f64;

/// Name, unit, help, and which figure.
const COUNTERS: [(&str, Option<Unit>, &str, Amount); 8] = [
    ("terrace_requests", None, "Requests that ended", |of| of.requests as f64),
    (
        "terrace_request_failures",
        None,
        "Requests that trapped or passed a limit",
        |of| of.failures as f64,
    ),
    ("terrace_cpu", Some(Unit::Seconds), "Processor time of services", |of| {
        of.cpu_ns as f64 / 1e9
    }),
    (
        "terrace_wall",
        Some(Unit::Seconds),
        "Time from start to end of requests",
        |of| of.wall_ns as f64 / 1e9,
    ),
    (
        "terrace_sql",
        Some(Unit::Seconds),
        "Time that services waited for the database",
        |of| of.sql_ns as f64 / 1e9,
    ),
    ("terrace_statements", None, "Statements of services", |of| {
        of.statements as f64
    }),
    (
        "terrace_sent",
        Some(Unit::Bytes),
        "Bytes of bodies to other hosts",
        |of| of.sent_bytes as f64,
    ),
    (
        "terrace_received",
        Some(Unit::Bytes),
        "Bytes of bodies from other hosts",
        |of| of.received_bytes as f64,
    ),
];

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = |tenant: &TenantId, service: &ServiceName| -> Pair {
            [("tenant", tenant.to_string()), ("service", service.to_string())]
        };
        for (name, unit, help, amount) in &COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for (tenant, service, usage) in &self.usage {
                let labels = labels(tenant, service);
                let metric = family.encode_family(&labels)?;
                ConstCounter::new(amount(usage)).encode(metric)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "terrace_memory_peak",
            "The most memory that one request had",
            Some(&Unit::Bytes),
            MetricType::Gauge,
        )?;
        for (tenant, service, usage) in &self.usage {
            let labels = labels(tenant, service);
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(usage.memory_peak_bytes).encode(metric)?;
        }
        let gauges = [
            (
                "terrace_instances",
                "Instances of services that are alive",
                self.stats.instances,
            ),
            (
                "terrace_instances_idle",
                "Instances that wait for a request",
                self.stats.idle,
            ),
            ("terrace_requests_in_flight", "Requests that run", self.stats.in_flight),
        ];
        for (name, help, value) in gauges {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value as u64).encode(metric)?;
        }
        Ok(())
    }
}

/// The answer.
pub(crate) fn answer(counted: Counted, databases: database::Counted) -> impl IntoResponse {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(counted));
    registry.register_collector(Box::new(databases));
    let mut body = String::new();
    // Writing into a String cannot fail.
    let _ = text::encode(&mut body, &registry);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_its_unit_and_its_tenant() {
        let tenant = TenantId::random();
        let usage = Usage {
            requests: 2,
            cpu_ns: 1_500_000_000,
            memory_peak_bytes: 65_536,
            ..Usage::default()
        };
        let counted = Counted {
            usage: vec![(tenant.clone(), "tasks".parse().unwrap(), usage)],
            stats: Stats {
                instances: 3,
                idle: 1,
                in_flight: 2,
            },
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(counted));
        let mut body = String::new();
        text::encode(&mut body, &registry).unwrap();
        for line in [
            format!("terrace_requests_total{{tenant=\"{tenant}\",service=\"tasks\"}} 2.0"),
            format!("terrace_cpu_seconds_total{{tenant=\"{tenant}\",service=\"tasks\"}} 1.5"),
            format!("terrace_memory_peak_bytes{{tenant=\"{tenant}\",service=\"tasks\"}} 65536"),
            "terrace_instances 3".to_owned(),
            "# UNIT terrace_cpu_seconds seconds".to_owned(),
            "# EOF".to_owned(),
        ] {
            assert!(body.lines().any(|each| each == line), "{line} is not in\n{body}");
        }
    }
}

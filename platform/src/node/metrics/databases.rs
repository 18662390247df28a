//! What a scraper is shown of tenants' data: a bounded number of tenants, and how many are left out.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::node::database::{Counted, Shown, fingerprint};

type Figure = fn(&Shown) -> Option<f64>;

/// Name, unit, help, and which figure. One that is not known is not shown.
const GAUGES: [(&str, Option<Unit>, &str, Figure); 7] = [
    (
        "terrace_database_size",
        Some(Unit::Bytes),
        "Tables and indexes of a tenant, by the last VACUUM or ANALYZE of each",
        |of| Some(of.footprint.size_bytes as f64),
    ),
    (
        "terrace_database_rows",
        None,
        "Rows of a tenant, estimated alike",
        |of| Some(of.footprint.rows as f64),
    ),
    (
        "terrace_database_dead_rows",
        None,
        "Rows of a tenant that wait for a VACUUM",
        |of| sum(of, |schema| schema.dead_rows),
    ),
    (
        "terrace_database_lock_waits",
        None,
        "Transactions that waited for a lock on a tenant's tables when they were counted",
        |of| Some(of.figures.as_ref()?.lock_waits.len() as f64),
    ),
    (
        "terrace_database_longest_transaction",
        Some(Unit::Seconds),
        "How long the oldest transaction on a tenant's tables was open when they were counted",
        |of| {
            let figures = of.figures.as_ref()?;
            Some(figures.longest_transaction.unwrap_or_default().as_secs_f64())
        },
    ),
    (
        "terrace_database_connections",
        None,
        "Transactions of a tenant that hold a connection",
        |of| Some(of.stats.in_flight as f64),
    ),
    (
        "terrace_database_waiting",
        None,
        "Requests of a tenant that wait for a connection",
        |of| Some(of.stats.waiting as f64),
    ),
];

const COUNTERS: [(&str, &str, Figure); 8] = [
    ("terrace_database_statements", "Statements of a tenant", |of| {
        Some(of.stats.statements as f64)
    }),
    (
        "terrace_database_statement_failures",
        "Statements of a tenant that failed",
        |of| Some(of.stats.failures as f64),
    ),
    (
        "terrace_database_refused",
        "Requests of a tenant that were turned away because too many waited",
        |of| Some(of.stats.refused as f64),
    ),
    (
        "terrace_database_lock_timeouts",
        "Statements of a tenant that waited too long for a lock",
        |of| Some(of.stats.lock_timeouts as f64),
    ),
    (
        "terrace_database_timeouts",
        "Statements of a tenant that passed the deadline of their request",
        |of| Some(of.stats.timeouts as f64),
    ),
    (
        "terrace_database_conflicts",
        "Transactions of a tenant that met another one and had to begin again",
        |of| Some(of.stats.conflicts as f64),
    ),
    (
        "terrace_database_blocks_hit",
        "Blocks of a tenant that PostgreSQL had in memory",
        |of| sum(of, |schema| schema.blocks_hit),
    ),
    (
        "terrace_database_blocks_read",
        "Blocks of a tenant that PostgreSQL had to ask for",
        |of| sum(of, |schema| schema.blocks_read),
    ),
];

fn sum(of: &Shown, figure: fn(&terrace_data_tenancy::SchemaFigures) -> u64) -> Option<f64> {
    let schemas = &of.figures.as_ref()?.schemas;
    Some(schemas.iter().map(figure).sum::<u64>() as f64)
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, unit, help, figure) in &GAUGES {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for shown in &self.shown {
                if let Some(value) = figure(shown) {
                    let labels = [("tenant", shown.tenant.to_string())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        for (name, help, figure) in &COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for shown in &self.shown {
                if let Some(value) = figure(shown) {
                    let labels = [("tenant", shown.tenant.to_string())];
                    ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        self.encode_migrations(&mut encoder)?;
        self.encode_statements(&mut encoder)?;
        let left_out = encoder.encode_descriptor(
            "terrace_database_tenants_left_out",
            "Tenants whose database is not shown; [metrics] in terrace.toml has the number that is",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.left_out as u64).encode(left_out)
    }
}

impl Counted {
    fn encode_migrations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "terrace_database_migrations_missing",
            "Migrations of the served release that a tenant's schema does not have",
            None,
            MetricType::Gauge,
        )?;
        for shown in &self.shown {
            for schema in shown.figures.iter().flat_map(|figures| &figures.schemas) {
                let labels = [
                    ("tenant", shown.tenant.to_string()),
                    ("service", schema.service.to_string()),
                ];
                let missing = u64::from(schema.head.saturating_sub(schema.version));
                ConstGauge::new(missing).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_statements(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = "Time of the statements that took a tenant the most in the last hour to two, by fingerprint";
        let longest = "The longest run of each of them";
        for (name, help, is_longest) in [
            ("terrace_database_statement", all, false),
            ("terrace_database_statement_longest", longest, true),
        ] {
            let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            for shown in &self.shown {
                for statement in &shown.statements {
                    let labels = [
                        ("tenant", shown.tenant.to_string()),
                        ("service", statement.service.to_string()),
                        ("fingerprint", fingerprint(statement.fingerprint)),
                    ];
                    let took = if is_longest { statement.max } else { statement.total };
                    ConstGauge::new(took.as_secs_f64()).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::{encoding::text, registry::Registry};
    use terrace_data_router::{StatementStats, TenantStats};
    use terrace_data_tenancy::{Figures, Footprint, SchemaFigures};

    use super::*;

    #[test]
    fn every_figure_of_a_database_has_a_name_its_unit_and_its_tenant() {
        let schema = SchemaFigures {
            service: "tasks".parse().unwrap(),
            schema: "t_aaaaaaaa_tasks".to_owned(),
            size_bytes: 1,
            index_bytes: 0,
            tables: 1,
            indexes: 1,
            live_rows: 1,
            dead_rows: 4,
            blocks_hit: 90,
            blocks_read: 10,
            version: 2,
            migrated_at: None,
            head: 3,
            release: "r_7f3k9q2m4x".parse().unwrap(),
        };
        let shown = Shown {
            tenant: "t_aaaaaaaa".parse().unwrap(),
            footprint: Footprint {
                size_bytes: 8_192,
                rows: 7,
            },
            figures: Some(Figures {
                cluster: "main".parse().unwrap(),
                schemas: vec![schema],
                is_exact: false,
                lock_waits: Vec::new(),
                longest_transaction: Some(Duration::from_millis(1_500)),
            }),
            stats: TenantStats {
                waiting: 3,
                lock_timeouts: 5,
                ..TenantStats::default()
            },
            statements: vec![StatementStats {
                service: "tasks".parse().unwrap(),
                fingerprint: 0xabc,
                shape: "SELECT 'hunter2'".into(),
                calls: 2,
                failures: 0,
                total: Duration::from_millis(250),
                max: Duration::from_millis(200),
            }],
        };
        // Of a cluster that did not answer: what the node knows itself.
        let silent = Shown {
            tenant: "t_bbbbbbbb".parse().unwrap(),
            figures: None,
            ..shown.clone()
        };
        let counted = Counted {
            shown: vec![shown, silent],
            left_out: 9_998,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(counted));
        let mut body = String::new();
        text::encode(&mut body, &registry).unwrap();
        for line in [
            "terrace_database_size_bytes{tenant=\"t_aaaaaaaa\"} 8192.0",
            "terrace_database_dead_rows{tenant=\"t_aaaaaaaa\"} 4.0",
            "terrace_database_longest_transaction_seconds{tenant=\"t_aaaaaaaa\"} 1.5",
            "terrace_database_waiting{tenant=\"t_bbbbbbbb\"} 3.0",
            "terrace_database_lock_timeouts_total{tenant=\"t_aaaaaaaa\"} 5.0",
            "terrace_database_blocks_hit_total{tenant=\"t_aaaaaaaa\"} 90.0",
            "terrace_database_migrations_missing{tenant=\"t_aaaaaaaa\",service=\"tasks\"} 1",
            "terrace_database_statement_seconds{tenant=\"t_aaaaaaaa\",service=\"tasks\",fingerprint=\"0000000000000abc\"} 0.25",
            "terrace_database_statement_longest_seconds{tenant=\"t_aaaaaaaa\",service=\"tasks\",fingerprint=\"0000000000000abc\"} 0.2",
            "terrace_database_tenants_left_out 9998",
        ] {
            assert!(body.lines().any(|each| each == line), "{line} is not in\n{body}");
        }
        assert!(!body.contains("lock_waits{tenant=\"t_bbbbbbbb\"}"));
        assert!(!body.contains("hunter2"), "the text of a statement is no label");
    }
}

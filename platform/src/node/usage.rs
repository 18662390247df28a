//! What tenants use: taken from the engine every few seconds, kept in the directory, told to tenants'
//! streams, and shown as metrics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use terrace_compute_engine::{Account, Accounts, Engine, Usage};
use terrace_control::{UsageFilter, UsageReport, UsageRow};
use terrace_data_tenancy::{self as tenancy, Directory};
use terrace_events_log::Bell;
use terrace_ground_ids::{ServiceName, TenantId};
use tracing::warn;

use super::metrics::Counted;

/// How often usage is written. What a killed node had not written yet is lost: at most so much. One that
/// is stopped writes it first.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// How often hours that are over are looked for.
const PUBLISH_EVERY: Duration = Duration::from_secs(60);
/// How often hours that nobody asks for any more are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// How long hours are kept, in days: a year of bills, and a month to argue about the last one.
const KEPT_DAYS: u32 = 400;
/// Pairs of tenant and service that metrics show, those with the most processor time: a scraper keeps
/// every pair that it has ever seen.
const SHOWN_MAX: usize = 1_000;
/// Pairs that are remembered for metrics.
const REMEMBERED_MAX: usize = 50_000;

/// The node's part in metering.
pub(crate) struct Metering {
    engine: Engine,
    directory: Arc<Directory>,
    bell: Bell,
    /// Since the node's start.
    totals: Mutex<HashMap<(TenantId, ServiceName), Usage>>,
}

impl Metering {
    pub(crate) fn new(engine: Engine, directory: Arc<Directory>, bell: Bell) -> Arc<Self> {
        Arc::new(Self {
            engine,
            directory,
            bell,
            totals: Mutex::default(),
        })
    }

    /// Writes and tells, for as long as the node runs. Telling ten thousand tenants takes a while: what
    /// gathers meanwhile is written all the same.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(self.write_on(), self.publish_on());
    }

    async fn write_on(&self) {
        let mut write = tokio::time::interval(WRITE_EVERY);
        let mut was_away = false;
        loop {
            write.tick().await;
            let written = self.write().await;
            // Once, not every few seconds.
            if let Err(error) = &written
                && !was_away
            {
                warn!("Usage cannot be written, and is kept until it can: {error}");
            }
            was_away = written.is_err();
        }
    }

    async fn publish_on(&self) {
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            let (done, what) = tokio::select! {
                _ = publish.tick() => (self.publish().await, "told"),
                _ = forget.tick() => (self.directory.forget_usage(KEPT_DAYS).await.map(drop), "forgotten"),
            };
            if let Err(error) = done {
                warn!("Old usage cannot be {what} now: {error}");
            }
        }
    }

    /// Writes what has gathered. What cannot be written is put back.
    pub(crate) async fn write(&self) -> Result<(), tenancy::Error> {
        let accounts: &Arc<Accounts> = self.engine.accounts();
        let taken = accounts.take();
        let rows: Vec<tenancy::Usage> = taken.iter().map(row).collect();
        if let Err(error) = self.directory.add_usage(&rows).await {
            accounts.give_back(taken);
            return Err(error);
        }
        self.remember(taken);
        Ok(())
    }

    async fn publish(&self) -> Result<(), tenancy::Error> {
        while let Some((tenant, seq)) = self.directory.publish_usage().await? {
            self.bell.ring(&tenant, seq);
        }
        Ok(())
    }

    fn remember(&self, taken: Vec<Account>) {
        let view = self.directory.tenants();
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        for Account { tenant, service, usage } in taken {
            if view.by_id(&tenant).is_some() {
                *totals.entry((tenant, service)).or_default() += usage;
            }
        }
        if totals.len() > REMEMBERED_MAX {
            // The half that used the least. A counter that begins again is something scrapers know.
            let mut all: Vec<u64> = totals.values().map(|usage| usage.cpu_ns).collect();
            let middle = all.len() / 2;
            let (_, least, _) = all.select_nth_unstable(middle);
            let least = *least;
            totals.retain(|_, usage| usage.cpu_ns > least);
        }
    }

    /// What metrics show: the pairs of tenant and service that used the most.
    pub(crate) async fn counted(&self) -> Counted {
        // Without the database, what was not written is not shown yet; a scrape is no reason to fail.
        drop(self.write().await);
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usage: Vec<_> = totals
            .iter()
            .map(|((tenant, service), usage)| (tenant.clone(), service.clone(), *usage))
            .collect();
        drop(totals);
        usage.sort_by_key(|(_, _, usage)| std::cmp::Reverse(usage.cpu_ns));
        usage.truncate(SHOWN_MAX);
        Counted {
            usage,
            stats: self.engine.stats(),
        }
    }

    /// What the control API shows.
    pub(crate) async fn report(
        &self,
        filter: &UsageFilter,
        tenant: Option<TenantId>,
    ) -> Result<UsageReport, tenancy::Error> {
        // What the last seconds brought is asked for too.
        self.write().await?;
        let asked = tenancy::UsageFilter {
            tenant,
            service: filter.service.clone(),
            from: filter.from,
            until: filter.until,
            is_hourly: filter.is_hourly,
        };
        let rows = self.directory.usage(&asked).await?;
        let view = self.directory.tenants();
        Ok(UsageReport {
            from: filter.from,
            until: filter.until,
            items: rows
                .into_iter()
                .map(|row| {
                    let tenancy::Usage {
                        tenant,
                        service,
                        amounts,
                    } = row.usage;
                    UsageRow {
                        slug: view.by_id(&tenant).map(|tenant| tenant.slug.clone()),
                        tenant,
                        service,
                        hour: filter.is_hourly.then_some(row.hour),
                        requests: amount(amounts.requests),
                        failures: amount(amounts.failures),
                        cpu_us: amount(amounts.cpu_us),
                        wall_us: amount(amounts.wall_us),
                        memory_peak_bytes: amount(amounts.memory_peak_bytes),
                        sql_us: amount(amounts.sql_us),
                        statements: amount(amounts.statements),
                        sent_bytes: amount(amounts.sent_bytes),
                        received_bytes: amount(amounts.received_bytes),
                    }
                })
                .collect(),
        })
    }
}

fn amount(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn row(account: &Account) -> tenancy::Usage {
    let usage = &account.usage;
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    tenancy::Usage {
        tenant: account.tenant.clone(),
        service: account.service.clone(),
        amounts: tenancy::Amounts {
            requests: signed(usage.requests),
            failures: signed(usage.failures),
            cpu_us: signed(usage.cpu_ns / 1_000),
            wall_us: signed(usage.wall_ns / 1_000),
            memory_peak_bytes: signed(usage.memory_peak_bytes),
            sql_us: signed(usage.sql_ns / 1_000),
            statements: signed(usage.statements),
            sent_bytes: signed(usage.sent_bytes),
            received_bytes: signed(usage.received_bytes),
        },
    }
}

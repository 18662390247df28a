//! What requests use: processor, memory, time, statements, and bytes to and from other hosts.
//!
//! A request is measured where it runs: the engine knows its processor time and memory, a capability
//! adds what it does on its behalf to [`Used`]. When the request ends, [`Accounts`] adds it to its
//! tenant and service. A call between services is a request of its own: what the callee uses is the
//! callee's, and what the caller waits for costs it wall time only.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::AddAssign,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http_body_util::BodyExt as _;
use rustix::time::{ClockId, clock_gettime};
use terrace_ground_ids::{ServiceName, TenantId};
use wasmtime_wasi_http::WasiBody;

use crate::Invocation;

/// What is done on behalf of one request outside its instance.
#[derive(Debug, Default)]
pub struct Used {
    cpu_ns: AtomicU64,
    sql_ns: AtomicU64,
    statements: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl Used {
    /// Runs `work` and charges its processor time. For what a capability computes on a thread of its own;
    /// what runs on the guest's thread is charged by the engine.
    pub fn on_this_thread<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = thread_cpu_ns();
        let done = work();
        self.cpu_ns.fetch_add(thread_cpu_ns().saturating_sub(began), Relaxed);
        done
    }

    /// Waits for a statement, or for the begin or end of a transaction: counts it, and the time.
    pub async fn statement<T>(&self, answer: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = answer.await;
        self.sql_ns.fetch_add(nanos(began.elapsed()), Relaxed);
        self.statements.fetch_add(1, Relaxed);
        answer
    }

    /// What one request used, with what the engine knows.
    pub fn usage(&self, cpu: Duration, wall: Duration, memory_bytes: usize, has_failed: bool) -> Usage {
        Usage {
            requests: 1,
            failures: u64::from(has_failed),
            cpu_ns: nanos(cpu) + self.cpu_ns.load(Relaxed),
            wall_ns: nanos(wall),
            memory_peak_bytes: memory_bytes as u64,
            sql_ns: self.sql_ns.load(Relaxed),
            statements: self.statements.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
        }
    }
}

/// What one request, or several together, used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests that ended.
    pub requests: u64,
    /// Those among them that a service did not end by itself: traps and limits.
    pub failures: u64,
    /// Processor time of the guest and of what capabilities compute for it, in nanoseconds.
    pub cpu_ns: u64,
    /// Time from start to end, in nanoseconds, waits included.
    pub wall_ns: u64,
    /// The most memory that one request had, in bytes.
    pub memory_peak_bytes: u64,
    /// Time that was waited for the database, in nanoseconds.
    pub sql_ns: u64,
    /// Statements, with the ends of transactions.
    pub statements: u64,
    /// Bytes of bodies to other hosts.
    pub sent_bytes: u64,
    /// Bytes of bodies from other hosts.
    pub received_bytes: u64,
}

impl Usage {
    /// Adds processor time that came after the guest's own.
    pub fn add_cpu(&mut self, time: Duration) {
        self.cpu_ns += nanos(time);
    }
}

impl AddAssign for Usage {
    /// Sums, except for the peak.
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.cpu_ns += other.cpu_ns;
        self.wall_ns += other.wall_ns;
        self.memory_peak_bytes = self.memory_peak_bytes.max(other.memory_peak_bytes);
        self.sql_ns += other.sql_ns;
        self.statements += other.statements;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

/// What one tenant used of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The tenant.
    pub tenant: TenantId,
    /// The service.
    pub service: ServiceName,
    /// Since the accounts were taken last.
    pub usage: Usage,
}

/// Parts that are locked alone, so that guests' threads seldom meet.
const SHARDS: usize = 16;

type Shard = HashMap<TenantId, Vec<(ServiceName, Usage)>>;

/// What every tenant used of every service since [`Accounts::take`]. Grows with the tenants that are
/// active between two takes, not with those that exist.
#[derive(Debug, Default)]
pub struct Accounts {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Accounts {
    /// A request ended.
    pub fn add(&self, invocation: &Invocation, usage: Usage) {
        self.put(&invocation.tenant.id, &invocation.service, usage);
    }

    /// All accounts, which begin anew.
    pub fn take(&self) -> Vec<Account> {
        let mut accounts = Vec::new();
        for shard in &self.shards {
            let shard = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (tenant, services) in shard {
                accounts.extend(services.into_iter().map(|(service, usage)| Account {
                    tenant: tenant.clone(),
                    service,
                    usage,
                }));
            }
        }
        accounts
    }

    /// Puts accounts back that could not be written.
    pub fn give_back(&self, accounts: Vec<Account>) {
        for account in accounts {
            self.put(&account.tenant, &account.service, account.usage);
        }
    }

    fn put(&self, tenant: &TenantId, service: &ServiceName, usage: Usage) {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let at = self.hasher.hash_one(tenant) as usize % SHARDS;
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        // Looked up before it is inserted: a clone of the id only for a tenant that is new here.
        let services = match shard.get_mut(tenant) {
            Some(services) => services,
            None => shard.entry(tenant.clone()).or_default(),
        };
        match services.iter_mut().find(|(name, _)| name == service) {
            Some((_, total)) => *total += usage,
            None => services.push((service.clone(), usage)),
        }
    }
}

/// A body to another host, whose bytes are counted as they pass.
pub(crate) fn sent(body: WasiBody, used: Arc<Used>) -> WasiBody {
    body.inspect_frame(move |frame| {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        used.sent_bytes.fetch_add(bytes, Relaxed);
    })
    .boxed_unsync()
}

/// A body from another host, likewise.
pub(crate) fn received(body: WasiBody, used: Arc<Used>) -> WasiBody {
    body.inspect_frame(move |frame| {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        used.received_bytes.fetch_add(bytes, Relaxed);
    })
    .boxed_unsync()
}

/// Processor time of the calling thread since its start.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(cpu_ns: u64, memory_peak_bytes: u64) -> Usage {
        Usage {
            requests: 1,
            cpu_ns,
            memory_peak_bytes,
            ..Usage::default()
        }
    }

    #[test]
    fn accounts_are_sums_and_taken_once() {
        let accounts = Accounts::default();
        let (tenant, other) = (TenantId::random(), TenantId::random());
        let (tasks, billing): (ServiceName, ServiceName) = ("tasks".parse().unwrap(), "billing".parse().unwrap());
        accounts.put(&tenant, &tasks, one(5, 100));
        accounts.put(&tenant, &tasks, one(7, 60));
        accounts.put(&tenant, &billing, one(1, 1));
        accounts.put(&other, &tasks, one(2, 2));
        let mut taken = accounts.take();
        assert!(accounts.take().is_empty());
        let find = |taken: &[Account], tenant: &TenantId, service: &ServiceName| {
            taken
                .iter()
                .find(|one| one.tenant == *tenant && one.service == *service)
                .map(|one| one.usage)
        };
        let both = Usage {
            requests: 2,
            ..one(12, 100)
        };
        assert_eq!(find(&taken, &tenant, &tasks), Some(both));
        assert_eq!(taken.len(), 3);
        // What could not be written is not lost.
        taken.retain(|one| one.tenant == tenant);
        accounts.put(&tenant, &tasks, one(1, 1));
        accounts.give_back(taken);
        let again = accounts.take();
        assert_eq!(
            find(&again, &tenant, &tasks).map(|usage| (usage.requests, usage.cpu_ns)),
            Some((3, 13))
        );
        assert_eq!(find(&again, &other, &tasks), None);
    }
}

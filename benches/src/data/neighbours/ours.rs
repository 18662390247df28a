//! A neighbour that goes through our router, as a tenant's service does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use terrace_data_router::{Error, ErrorKind, Principal, Router};
use terrace_data_tenancy::{
    Directory,
    testing::{SERVICES, new_tenant, principal, release},
};
use tokio::task::JoinSet;

use super::{
    Cast, Counts,
    cases::{Act, CREATIONS_A_SECOND, HELD, Load},
};
use crate::data::stage::Stage;

/// A refused statement ends its request; the next one comes a moment later. Without this pause the
/// callers would only ask the guard's memory in a loop, which no service can: it is told on its way out.
const AFTER_REFUSAL: Duration = Duration::from_millis(1);

/// Tasks that run until they are stopped.
pub(super) struct Neighbour {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Work of the platform is not cut off: it would go on by itself.
    ends_itself: bool,
}

impl Neighbour {
    pub(super) fn start(stage: &Stage, cast: &Cast, callers: usize, load: &Load, counts: &Arc<Counts>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let tenant = if load.is_mate { &cast.mate } else { &cast.stranger };
        match load.act {
            Act::Create => {
                let directory = Arc::clone(&stage.world.directory);
                tasks.spawn(create(directory, Arc::clone(&stop), Arc::clone(counts)));
            }
            Act::Migrate => {
                let directory = Arc::clone(&stage.world.directory);
                tasks.spawn(migrate(directory, Arc::clone(&stop), Arc::clone(counts)));
            }
            act => {
                for caller in 0..callers {
                    let sender = Sender {
                        router: stage.world.router.clone(),
                        principal: principal(&tenant.id, "tasks"),
                        act,
                        caller,
                        counts: Arc::clone(counts),
                    };
                    tasks.spawn(sender.run());
                }
            }
        }
        Self {
            tasks,
            stop,
            ends_itself: load.is_platform(),
        }
    }

    pub(super) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if !self.ends_itself {
            self.tasks.abort_all();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Sender {
    router: Router,
    principal: Principal,
    act: Act,
    caller: usize,
    counts: Arc<Counts>,
}

impl Sender {
    async fn run(self) {
        for number in 0_u64.. {
            let outcome = match self.act {
                Act::Again(sql) => self.send(sql).await,
                Act::AnotherEachTime(sql) => self.send(&format!("{sql}{}", number * 64 + self.caller as u64)).await,
                Act::Hold(statements) => self.hold(statements).await,
                Act::Create | Act::Migrate => return,
            };
            match outcome {
                Ok(()) if matches!(self.act, Act::Hold(_)) => {}
                Ok(()) => drop(self.counts.done.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    let count = match error.kind {
                        ErrorKind::Refused => &self.counts.refused,
                        _ => &self.counts.failed,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            }
        }
    }

    async fn send(&self, sql: &str) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.router.query(&self.principal, deadline, sql, &[]).await.map(drop)
    }

    async fn hold(&self, statements: &[&str]) -> Result<(), Error> {
        let until = Instant::now() + HELD;
        let mut transaction = self.router.begin(&self.principal, until).await?;
        for statement in statements {
            transaction.query(statement, &[]).await?;
        }
        // Counted when it is open, not when it ends.
        self.counts.done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }
}

async fn create(directory: Arc<Directory>, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / CREATIONS_A_SECOND);
    let mut creations = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        // At most eight at a time: what cannot be kept up with waits.
        if creations.len() >= 8 {
            creations.join_next().await;
        }
        let (directory, counts) = (Arc::clone(&directory), Arc::clone(&counts));
        let slug = format!("beside-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        creations.spawn(async move {
            let count = match directory.create_tenant(new_tenant(&slug)).await {
                Ok(_) => &counts.done,
                Err(_) => &counts.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    while creations.join_next().await.is_some() {}
}

/// Deploys of a service with a new column, one after the other.
async fn migrate(directory: Arc<Directory>, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let Some((name, first)) = SERVICES.iter().find(|(name, _)| *name == "billing") else {
        return;
    };
    let mut migrations: Vec<(String, String)> = first
        .iter()
        .map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned()))
        .collect();
    while !stop.load(Ordering::Relaxed) {
        let number = migrations.len() + 1;
        migrations.push((
            format!("{number:04}_more.sql"),
            format!("ALTER TABLE meter ADD COLUMN more_{number} text"),
        ));
        let borrowed: Vec<(&str, &str)> = migrations
            .iter()
            .map(|(name, sql)| (name.as_str(), sql.as_str()))
            .collect();
        let seen = Arc::clone(&counts);
        let deployed = async {
            let release = directory.put_release(release(name, &borrowed)).await?;
            let progress = move |progress: terrace_data_migrate::Progress| {
                seen.done.store(progress.done as u64, Ordering::Relaxed);
            };
            directory
                .activate_release(&release.service, &release.id, Arc::new(progress))
                .await
        };
        if deployed.await.is_err() {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

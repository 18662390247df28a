//! A tenant's own requests, alone and beside a neighbour that behaves badly: with ours, where the
//! neighbour has a lane of its own and its statements pass the guard; and with a pool as it is usually
//! made, where both share one login and one pool, and take their role and path in each transaction.
//!
//! Where the guard refuses what the neighbour sends, the worst that it lets through is measured too.

mod cases;
mod naive;
mod ours;
mod victim;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use terrace_data_tenancy::Tenant;

use crate::Figure;

use super::{
    samples::Samples,
    say,
    stage::{Stage, fill, schema},
};
use cases::{Case, Load};
use victim::Seen;

/// How long the victim is watched.
#[derive(Clone, Copy)]
struct Pace {
    alone: Duration,
    beside: Duration,
}

const THOROUGH: Pace = Pace {
    alone: Duration::from_secs(2),
    beside: Duration::from_secs(4),
};
const QUICK: Pace = Pace {
    alone: Duration::from_secs(1),
    beside: Duration::from_secs(2),
};
/// The victim's first requests open connections, and are not counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// What a neighbour gets to be in full swing.
const HEAD_START: Duration = Duration::from_millis(400);

/// Rows of the victim's table, and of each neighbour's.
const VICTIM_ROWS: i64 = 1_000;
const NEIGHBOUR_ROWS: i64 = 200_000;

/// Who plays.
struct Cast {
    pace: Pace,
    victim: Arc<Tenant>,
    /// Of another lane.
    stranger: Arc<Tenant>,
    /// Of the victim's lane.
    mate: Arc<Tenant>,
}

/// What became of what a neighbour sent.
#[derive(Default)]
struct Counts {
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn describe(&self) -> String {
        let [done, refused, failed] =
            [&self.done, &self.refused, &self.failed].map(|count| count.load(Ordering::Relaxed));
        let mut parts = Vec::new();
        for (count, what) in [(done, "done"), (refused, "refused"), (failed, "failed")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if parts.is_empty() {
            "nothing".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// At the size that the stage has.
pub(super) async fn measure(stage: &Stage, is_quick: bool) -> Result<Vec<Figure>> {
    let pace = if is_quick { QUICK } else { THOROUGH };
    let cast = Cast::choose(stage, pace)?;
    for (tenant, rows) in [
        (&cast.victim, VICTIM_ROWS),
        (&cast.stranger, NEIGHBOUR_ROWS),
        (&cast.mate, NEIGHBOUR_ROWS),
    ] {
        fill(&stage.admin, &schema(tenant), rows).await?;
        stage
            .admin
            .batch_execute(&format!("ANALYZE \"{}\".board", schema(tenant)))
            .await?;
    }
    naive::lift_hardening(stage, &cast.stranger).await?;
    let mut figures = Vec::new();
    for case in cases::all() {
        let mut peer = naive_beside(stage, &cast, &case).await?;
        for (index, load) in case.ours.iter().enumerate() {
            let figure = ours_beside(stage, &cast, &case, load, (index == 0).then_some(&mut peer)).await?;
            say(&format!(
                "{}: {} | {} | {}",
                figure.what, figure.ours, figure.peer, figure.ratio
            ));
            figures.push(figure);
        }
    }
    Ok(figures)
}

impl Cast {
    fn choose(stage: &Stage, pace: Pace) -> Result<Self> {
        let lane = |tenant: &Tenant| tenant.placement.as_ref().map(|placement| placement.lane.id.clone());
        let victim = stage.tenants.first().context("a stage with tenants")?;
        let others = || stage.tenants.iter().skip(1);
        let mate = others().find(|other| lane(other) == lane(victim));
        let stranger = others().rev().find(|other| lane(other) != lane(victim));
        Ok(Self {
            pace,
            victim: Arc::clone(victim),
            stranger: Arc::clone(stranger.context("a tenant of another lane")?),
            mate: Arc::clone(mate.context("a tenant of the same lane")?),
        })
    }
}

struct Beside {
    alone: Seen,
    beside: Seen,
    did: String,
}

impl Beside {
    fn describe(&mut self) -> String {
        format!(
            "alone {}; beside {}, worst {:.1} ms, {}; it: {}",
            self.alone.samples.in_millis(),
            self.beside.samples.in_millis(),
            self.beside.samples.worst() / 1e3,
            self.beside.errors(),
            self.did
        )
    }

    fn ratio(&mut self) -> f64 {
        let p99 = |samples: &mut Samples| samples.micros(0.99);
        p99(&mut self.beside.samples) / p99(&mut self.alone.samples)
    }
}

async fn ours_beside(
    stage: &Stage,
    cast: &Cast,
    case: &Case,
    load: &Load,
    peer: Option<&mut Beside>,
) -> Result<Figure> {
    victim::ours(stage, &cast.victim, WARM_UP).await?;
    let alone = victim::ours(stage, &cast.victim, cast.pace.alone).await?;
    let counts = Arc::new(Counts::default());
    let neighbour = ours::Neighbour::start(stage, cast, case.callers, load, &counts);
    tokio::time::sleep(HEAD_START).await;
    let beside = victim::ours(stage, &cast.victim, cast.pace.beside).await?;
    let did = counts.describe();
    neighbour.stop().await;
    settle(stage).await?;
    let mut ours = Beside { alone, beside, did };
    let lane = if load.is_mate {
        "in the victim's own lane"
    } else {
        "in a lane of its own"
    };
    let callers = if load.is_platform() {
        String::new()
    } else {
        match case.callers {
            1 => format!(", 1 caller {lane}"),
            callers => format!(", {callers} callers {lane}"),
        }
    };
    let (peer, naive) = match peer {
        Some(peer) => (
            format!("one pool of {} and SET ROLE: {}", naive::CONNECTIONS, peer.describe()),
            format!(", peer {:.1}x", peer.ratio()),
        ),
        None => ("see above".to_owned(), String::new()),
    };
    Ok(Figure {
        what: format!(
            "a tenant's p99 beside {}{callers}; {} tenants",
            load.name,
            stage.tenants.len()
        ),
        ours: ours.describe(),
        peer,
        ratio: format!("{:.1}x{naive}", ours.ratio()),
    })
}

async fn naive_beside(stage: &Stage, cast: &Cast, case: &Case) -> Result<Beside> {
    let pool = naive::pool(stage)?;
    victim::naive(&pool, &cast.victim, WARM_UP).await?;
    let alone = victim::naive(&pool, &cast.victim, cast.pace.alone).await?;
    let counts = Arc::new(Counts::default());
    let neighbour = naive::Neighbour::start(stage, &pool, cast, case, &counts);
    tokio::time::sleep(HEAD_START).await;
    let beside = victim::naive(&pool, &cast.victim, cast.pace.beside).await?;
    let did = counts.describe();
    neighbour.stop().await;
    pool.close();
    settle(stage).await?;
    Ok(Beside { alone, beside, did })
}

/// Ends what the peer left, and waits until nobody but us does anything. A server whose lock table is
/// full answers nobody for a while, not even us.
async fn settle(stage: &Stage) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(30);
    let busy = "SELECT count(pg_terminate_backend(pid)) FILTER (WHERE usename = 'figures_peer') + count(*) FILTER (WHERE state <> 'idle')
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    while Instant::now() < patience {
        let row = stage.admin.query_one(busy, &[]).await;
        if row.is_ok_and(|row| row.try_get::<_, i64>(0).is_ok_and(|busy| busy == 0)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say("something still runs half a minute after a neighbour was stopped");
    Ok(())
}

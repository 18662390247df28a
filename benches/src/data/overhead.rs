//! A point query as a tenant: routed and role-enforced, beside a bare pool and beside PgBouncer.
//!
//! All over unix sockets to one server, in turns. Every way reads one row of `board` by its key, in the
//! schema of the tenant that was chosen.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use terrace_data_router::{Principal, Router, Value};
use terrace_data_tenancy::{Tenant, testing::principal};
use terrace_ground_ids::LaneId;
use tokio::task::JoinSet;
use tokio_postgres::{NoTls, types::Type};

use crate::Figure;

use super::{
    bouncer::Bouncer,
    choice::{Choice, Chooser},
    memory::Memory,
    samples::Samples,
    say,
    stage::{ROWS, Stage, schema},
};

/// Many and short: where the kernel puts a caller and its backend changes what one round sees.
const ROUNDS: usize = 16;
/// One caller, for the times; eight, for the throughput.
const CALLERS: [usize; 2] = [1, 8];
const ROUND: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(150)];
/// Connections of the peers' pools.
const CONNECTIONS: usize = 8;

/// What a caller knows of a tenant.
struct Target {
    principal: Principal,
    bare: String,
    /// Counted from 0.
    lane: usize,
    /// Opens a transaction as the tenant.
    open: String,
}

const ROUTED: &str = "SELECT title FROM board WHERE id = $1";

impl Target {
    fn new(tenant: &Tenant, lanes: &mut Vec<LaneId>) -> Self {
        let schema = schema(tenant);
        let lane = tenant.placement.as_ref().map(|placement| &placement.lane.id);
        let known = lanes.iter().position(|known| Some(known) == lane);
        let place = known.unwrap_or(lanes.len());
        if known.is_none() {
            lanes.extend(lane.cloned());
        }
        Self {
            lane: place,
            principal: principal(&tenant.id, "tasks"),
            bare: format!("SELECT title FROM \"{schema}\".board WHERE id = $1"),
            open: format!(
                "BEGIN; SET LOCAL ROLE \"{}\"; SET LOCAL search_path = \"{schema}\"",
                tenant.id.owner_role()
            ),
        }
    }
}

/// How a query gets to the server.
#[derive(Clone)]
enum Way {
    /// Ours: guard, lane, role, one flight.
    Routed(Router),
    /// A pool of the database's owner: no role, prepared statements.
    Bare(Pool),
    /// The same with a pool for each lane's tenants: what ours costs without its many processes.
    BarePerLane(Arc<[Pool]>),
    /// Through PgBouncer with the tenant's role and path, all in one flight. Debian's PgBouncer keeps no
    /// prepared statements.
    OneFlight(Pool),
    /// The same, one after the other, as libraries do it.
    RoundTrips(Pool),
}

impl Way {
    async fn ask(&self, target: &Target, id: i64) -> Result<()> {
        let typed: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&id, Type::INT8)];
        let rows = match self {
            Self::Routed(router) => {
                let deadline = Instant::now() + Duration::from_secs(10);
                let rows = router
                    .query(&target.principal, deadline, ROUTED, &[Value::Integer(id)])
                    .await?;
                rows.rows.len()
            }
            Self::Bare(pool) => bare(pool, target, id).await?,
            Self::BarePerLane(pools) => bare(pools.get(target.lane).context("a pool")?, target, id).await?,
            Self::OneFlight(pool) => {
                let client = pool.get().await?;
                let flight = tokio::try_join!(
                    client.batch_execute(&target.open),
                    client.query_typed(ROUTED, &typed),
                    client.batch_execute("COMMIT")
                );
                flight?.1.len()
            }
            Self::RoundTrips(pool) => {
                let client = pool.get().await?;
                client.batch_execute(&target.open).await?;
                let rows = client.query_typed(ROUTED, &typed).await?;
                client.batch_execute("COMMIT").await?;
                rows.len()
            }
        };
        ensure!(rows == 1, "one row has this key");
        Ok(())
    }
}

async fn bare(pool: &Pool, target: &Target, id: i64) -> Result<usize> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(&target.bare).await?;
    Ok(client.query(&statement, &[&id]).await?.len())
}

/// At the size that the stage has.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let connection = stage.connection();
    let bouncer = Bouncer::start(&connection, CONNECTIONS).await?;
    let mut bare = connection.client_config();
    bare.application_name("figures-bare");
    let clients = bouncer.pool(CONNECTIONS)?;
    let router = Router::new(terrace_data_router::Config::default(), stage.world.directory.clone());
    let mut lanes = Vec::new();
    let targets: Arc<[Target]> = stage
        .tenants
        .iter()
        .map(|tenant| Target::new(tenant, &mut lanes))
        .collect();
    let mut per_lane = bare.clone();
    per_lane.application_name("figures-bare-lanes");
    let per_lane = lanes.iter().map(|_| pool(per_lane.clone(), CONNECTIONS));
    let ways = [
        Way::Routed(router),
        Way::Bare(pool(bare, CONNECTIONS)?),
        Way::BarePerLane(per_lane.collect::<Result<_>>()?),
        Way::OneFlight(clients.clone()),
        Way::RoundTrips(clients),
    ];
    warm(&ways, &targets).await?;
    let choices: &[Choice] = if targets.len() == 1 {
        &[Choice::Uniform]
    } else {
        &[Choice::Uniform, Choice::Zipf]
    };
    let mut figures = Vec::new();
    for choice in choices {
        figures.extend(compare(stage, &ways, &targets, *choice).await?);
    }
    Ok(figures)
}

/// A pool that uses what it used last, so that one caller keeps one connection warm.
pub(super) fn pool(config: tokio_postgres::Config, connections: usize) -> Result<Pool> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Pool::builder(Manager::from_config(config, NoTls, recycling))
        .max_size(connections)
        .queue_mode(deadpool_postgres::QueueMode::Lifo)
        .build()
        .context("make a pool")
}

/// Every tenant twice by each way: once by one caller, once by all of them together.
async fn warm(ways: &[Way], targets: &Arc<[Target]>) -> Result<()> {
    // The last way has the connections of the one before it.
    for way in ways.iter().filter(|way| !matches!(way, Way::RoundTrips(_))) {
        let began = Instant::now();
        for callers in CALLERS {
            let mut tasks = JoinSet::new();
            for caller in 0..callers {
                let (way, targets) = (way.clone(), Arc::clone(targets));
                tasks.spawn(async move {
                    for target in targets.iter().skip(caller).step_by(callers) {
                        way.ask(target, 1).await?;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(outcome) = tasks.join_next().await {
                outcome??;
            }
        }
        if began.elapsed() > Duration::from_secs(2) {
            say(&format!("warmed one way up in {:.1} s", began.elapsed().as_secs_f64()));
        }
    }
    Ok(())
}

async fn compare(stage: &Stage, ways: &[Way; 5], targets: &Arc<[Target]>, choice: Choice) -> Result<Vec<Figure>> {
    let mut seen: [[Samples; 5]; 2] = Default::default();
    let mut over_bare = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        for ((callers, round_time), samples) in CALLERS.iter().zip(ROUND).zip(&mut seen) {
            let mut medians = Vec::with_capacity(ways.len());
            for (way, samples) in ways.iter().zip(samples) {
                let (times, took) = run(way, targets, choice, *callers, round_time, round).await?;
                let mut this_round = Samples::default();
                this_round.add(times.clone(), took);
                medians.push(this_round.micros(0.5));
                samples.add(times, took);
            }
            if let (1, [routed, bare, ..]) = (*callers, medians.as_slice()) {
                over_bare.push(routed - bare);
            }
        }
    }
    over_bare.sort_by(f64::total_cmp);
    let over_bare = over_bare.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
    let memory = [
        Memory::of(&stage.admin, "usename LIKE 'lane\\_%'").await?,
        Memory::of(&stage.admin, "application_name = 'figures-bare'").await?,
        Memory::of(&stage.admin, "application_name = 'figures-bare-lanes'").await?,
        Memory::of(&stage.admin, "usename = 'figures_peer'").await?,
    ];
    let [routed_memory, bare_memory, lanes_memory, bouncer_memory] = memory.map(|memory| memory.describe());
    let whom = match targets.len() {
        1 => "1 tenant".to_owned(),
        count => format!("{count} tenants, {}", choice.name()),
    };
    let [
        [routed, bare, lanes, flight, trips],
        [routed_8, bare_8, lanes_8, flight_8, trips_8],
    ] = &mut seen;
    let figures = vec![
        Figure {
            what: format!("point query as a tenant, {whom}, 1 caller"),
            ours: routed.in_micros(),
            peer: format!(
                "bare deadpool, no role: {}; with a pool for each lane: {}",
                bare.in_micros(),
                lanes.in_micros()
            ),
            ratio: format!(
                "{over_bare:+.0} µs p50 (the median of {ROUNDS} rounds), {:+.0} µs p99",
                routed.micros(0.99) - bare.micros(0.99)
            ),
        },
        Figure {
            what: "the same".to_owned(),
            ours: routed.in_micros(),
            peer: format!(
                "PgBouncer, SET LOCAL ROLE and search_path, one flight: {}; four statements: {}",
                flight.in_micros(),
                trips.in_micros()
            ),
            ratio: format!("{:.2}x p50", routed.micros(0.5) / flight.micros(0.5)),
        },
        Figure {
            what: format!("the same, {whom}, 8 callers"),
            ours: format!(
                "{:.0}/s, {}; {routed_memory}",
                routed_8.per_second(),
                routed_8.in_micros()
            ),
            peer: format!(
                "bare: {:.0}/s, {}; {bare_memory}; with a pool for each lane: {:.0}/s; {lanes_memory}",
                bare_8.per_second(),
                bare_8.in_micros(),
                lanes_8.per_second()
            ),
            ratio: format!("{:.2}x", routed_8.per_second() / bare_8.per_second()),
        },
        Figure {
            what: "the same".to_owned(),
            ours: format!("{:.0}/s", routed_8.per_second()),
            peer: format!(
                "PgBouncer: {:.0}/s, {} in one flight; {:.0}/s as statements; {bouncer_memory}",
                flight_8.per_second(),
                flight_8.in_micros(),
                trips_8.per_second()
            ),
            ratio: format!("{:.2}x", routed_8.per_second() / flight_8.per_second()),
        },
    ];
    for figure in &figures {
        say(&format!(
            "{}: {} | {} | {}",
            figure.what, figure.ours, figure.peer, figure.ratio
        ));
    }
    Ok(figures)
}

async fn run(
    way: &Way,
    targets: &Arc<[Target]>,
    choice: Choice,
    callers: usize,
    time: Duration,
    round: usize,
) -> Result<(Vec<Duration>, Duration)> {
    let began = Instant::now();
    let until = began + time;
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (way, targets) = (way.clone(), Arc::clone(targets));
        // Every way is asked for the same tenants in the same order.
        let mut chooser = Chooser::new(choice, targets.len(), (round * 100 + caller + 1) as u64);
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let chosen = chooser.next();
                let target = targets.get(chosen).context("a tenant")?;
                let began = Instant::now();
                way.ask(target, 1 + (times.len() as i64) % ROWS).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        times.extend(outcome??);
    }
    Ok((times, began.elapsed()))
}

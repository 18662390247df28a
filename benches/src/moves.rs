//! Moving a tenant between two servers: for how long its requests wait, alone and beside a neighbour that
//! saturates the log of the server. One writer writes as fast as it can through every move.
//!
//! The servers do not sync and share the machine's cores with everything else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use terrace_data_tenancy::testing::{MOVABLE, Scratch, World, deadline, principal, second};

use crate::{Figure, tenants::quantiles};

/// Rows of the tenant that is moved.
const ROWS: usize = 20_000;
/// Moves of each kind: there and back, and so on.
const MOVES: usize = 20;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let world = World::on(Scratch::with_settings(&MOVABLE).await, |config| {
        config.move_pause_max_ms = 5_000;
        config.move_lag_max_ms = 1_000;
    })
    .await;
    let other = Scratch::with_settings(&MOVABLE).await;
    world.add_second(&other).await;
    world.three_services().await;
    let tenant = world.tenant("moving").await;
    let sql = format!(
        "INSERT INTO \"{}\".board (title, created_by) SELECT md5(n::text), 'ada' FROM generate_series(1, {ROWS}) n",
        tenant.id.schema(&"tasks".parse()?)
    );
    world.admin().await.batch_execute(&sql).await?;
    let quiet = moves(&world, &tenant.id).await?;
    // A bulk load on both servers: whichever the tenant leaves, its log is full of somebody else's rows.
    let is_over = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    for server in [&world.scratch, &other] {
        let client = server.admin().await;
        client
            .batch_execute("CREATE TABLE public.neighbour (id bigint, filler text)")
            .await?;
        let is_over = is_over.clone();
        loads.push(tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let load = "TRUNCATE public.neighbour; INSERT INTO public.neighbour SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 20000) n";
                client.batch_execute(load).await?;
            }
            Ok::<(), tokio_postgres::Error>(())
        }));
    }
    let saturated = moves(&world, &tenant.id).await?;
    is_over.store(true, Ordering::Relaxed);
    for load in loads {
        load.await??;
    }
    Ok(vec![
        figure("move a tenant, requests wait", quiet.0),
        figure("move a tenant, slowest request of a writer", quiet.1),
        figure("the same beside a bulk load, requests wait", saturated.0),
        figure("the same beside a bulk load, slowest request", saturated.1),
    ])
}

/// The pause that each move measured, and the slowest request during each.
async fn moves(world: &World, tenant: &terrace_ground_ids::TenantId) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let slowest = Arc::new(Mutex::new(Duration::ZERO));
    let writer = tokio::spawn({
        let (router, tasks) = (world.router.clone(), principal(tenant, "tasks"));
        let (is_over, slowest) = (is_over.clone(), slowest.clone());
        async move {
            let mut written = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let sql = "INSERT INTO board (title, created_by) VALUES ('ledger', 'bench')";
                router.query(&tasks, deadline(), sql, &[]).await?;
                written += 1;
                if let Ok(mut slowest) = slowest.lock() {
                    *slowest = slowest.max(begun.elapsed());
                }
            }
            Ok::<u64, anyhow::Error>(written)
        }
    });
    let count = "SELECT count(*) FROM board WHERE title = 'ledger'";
    let tasks = principal(tenant, "tasks");
    let (mut pauses, mut requests) = (Vec::new(), Vec::new());
    for number in 0..MOVES {
        let to = if number % 2 == 0 {
            second()
        } else {
            world.directory.first_cluster()
        };
        if let Ok(mut slowest) = slowest.lock() {
            *slowest = Duration::ZERO;
        }
        world.directory.move_tenant(tenant, &to, "bench").await?;
        let done = world.directory.operations(Some(tenant), 1).await?;
        let pause = done.first().and_then(|done| done.evidence["pause_ms"].as_f64());
        pauses.push(Duration::from_secs_f64(pause.unwrap_or(0.0) / 1e3));
        requests.push(slowest.lock().map(|slowest| *slowest).unwrap_or_default());
    }
    is_over.store(true, Ordering::Relaxed);
    let written = writer.await??;
    let there = world.router.query(&tasks, deadline(), count, &[]).await?;
    let clean = "DELETE FROM board WHERE title = 'ledger'";
    let gone = world.router.query(&tasks, deadline(), clean, &[]).await?;
    ensure!(
        gone.affected == written,
        "{written} writes were told, {} are there ({:?})",
        gone.affected,
        there.rows
    );
    Ok((pauses, requests))
}

fn figure(what: &'static str, mut took: Vec<Duration>) -> Figure {
    let worst = took.iter().max().copied().unwrap_or_default();
    let (p50, p99) = quantiles(&mut took);
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    Figure {
        what: what.to_owned(),
        ours: format!(
            "p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
            ms(p50),
            ms(p99),
            ms(worst)
        ),
        peer: "none publishes one".to_owned(),
        ratio: "-".to_owned(),
    }
}

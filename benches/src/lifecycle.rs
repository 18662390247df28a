//! What is done to tenants, at the directory: creations from spares and without, exports, imports,
//! with few and with many tenants around. The scratch server does not sync; services are not called.

use std::time::{Duration, Instant};

use anyhow::Result;
use terrace_data_tenancy::{
    ARCHIVE_PART_BYTES_MAX, NewImport,
    testing::{World, new_tenant},
};

use crate::{Figure, tenants::quantiles};

/// Creations of each kind that are measured, at each number of tenants.
const CREATIONS: usize = 100;
/// Tenants that are there already.
const AROUND: [usize; 2] = [0, 1_000];
/// Rows of the tenant that is exported.
const ROWS: usize = 20_000;
/// Exports that are measured.
const EXPORTS: usize = 10;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let world = World::with(|config| {
        config.spares = u32::try_from(CREATIONS).unwrap_or(0);
        config.connections_max = 8;
    })
    .await;
    world.three_services().await;
    let mut figures = Vec::new();
    let mut there = 0;
    for around in AROUND {
        while there < around {
            world
                .directory
                .create_tenant(new_tenant(&format!("around-{there}")))
                .await?;
            there += 1;
        }
        let mut cold = Vec::with_capacity(CREATIONS);
        for number in 0..CREATIONS {
            let start = Instant::now();
            world
                .directory
                .create_tenant(new_tenant(&format!("cold-{around}-{number}")))
                .await?;
            cold.push(start.elapsed());
        }
        world.directory.fill_spares().await?;
        let mut claimed = Vec::with_capacity(CREATIONS);
        for number in 0..CREATIONS {
            let start = Instant::now();
            world
                .directory
                .create_tenant(new_tenant(&format!("claim-{around}-{number}")))
                .await?;
            claimed.push(start.elapsed());
        }
        there += 2 * CREATIONS;
        let whats = match around {
            0 => ["create a tenant, cold: three services", "create a tenant from a spare"],
            _ => [
                "create a tenant, cold, among 1,000",
                "create a tenant from a spare, among 1,000",
            ],
        };
        for (what, took) in whats.into_iter().zip([&mut cold, &mut claimed]) {
            figures.push(figure(what, took));
        }
    }
    figures.extend(archives(&world).await?);
    Ok(figures)
}

async fn archives(world: &World) -> Result<Vec<Figure>> {
    let tenant = world.tenant("exported").await;
    let schema = tenant.id.schema(&"tasks".parse()?);
    let sql = format!(
        "INSERT INTO \"{schema}\".board (title, created_by) SELECT md5(n::text), 'ada' FROM generate_series(1, {ROWS}) n"
    );
    world.admin().await.batch_execute(&sql).await?;
    let (mut exports, mut imports) = (Vec::new(), Vec::new());
    for number in 0..EXPORTS {
        let start = Instant::now();
        let mut pieces = world.directory.export_tenant(&tenant.id, "bench").await?;
        let mut archive = Vec::new();
        while let Some(piece) = pieces.recv().await {
            archive.extend_from_slice(&piece?);
        }
        exports.push(start.elapsed());
        let start = Instant::now();
        let id = world.directory.begin_archive().await?;
        for (part, content) in archive.chunks(ARCHIVE_PART_BYTES_MAX).enumerate() {
            let content = bytes::Bytes::copy_from_slice(content);
            world
                .directory
                .put_archive_part(&id, u32::try_from(part)?, content)
                .await?;
        }
        let new = NewImport {
            archive: id,
            slug: format!("import-{number}").parse()?,
            name: None,
            plan: None,
            force: false,
            actor: None,
        };
        world.directory.import_tenant(new).await?.end.await??;
        imports.push(start.elapsed());
    }
    Ok(vec![
        figure("export 20,000 rows, among 1,000 tenants", &mut exports),
        figure("import 20,000 rows, verified", &mut imports),
    ])
}

fn figure(what: &'static str, took: &mut [Duration]) -> Figure {
    let (p50, p99) = quantiles(took);
    Figure {
        what,
        ours: format!(
            "p50 {:.1} ms, p99 {:.1} ms",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        ),
        peer: "none in this run".to_owned(),
        ratio: "-".to_owned(),
    }
}

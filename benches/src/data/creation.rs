//! Creating a tenant among few and many: cold, and from a spare. The peer makes the same tables by
//! hand, or gives ready schemas another name; it keeps no directory and gives no rights.

use std::time::Instant;

use anyhow::{Context, Result};
use terrace_data_tenancy::testing::new_tenant;

use crate::Figure;

use super::{by_hand, samples::Samples, say, stage::Stage};

/// Creations of each kind that are measured; also the spares that are filled.
pub(super) const CREATIONS: u32 = 100;
const SERVICES: f64 = 3.0;

/// With as many tenants as the stage has.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let around = stage.world.directory.tenants().len();
    let cold = creations(stage, &format!("cold-{around}")).await?;
    let began = Instant::now();
    stage.world.directory.fill_spares().await.context("fill the spares")?;
    let filled = f64::from(CREATIONS) / began.elapsed().as_secs_f64();
    let claimed = creations(stage, &format!("claim-{around}")).await?;
    let (made, renamed) = peers(stage, around).await?;
    let ms = |samples: &mut Samples, share| samples.micros(share) / 1e3;
    let [mut cold, mut claimed, mut made, mut renamed] = [cold, claimed, made, renamed];
    let figures = vec![
        Figure {
            what: format!("create a tenant of three services, cold, among {around}"),
            ours: format!(
                "{} ({:.0} ms p99 a service); spares are filled at {filled:.0} a second",
                cold.in_millis(),
                ms(&mut cold, 0.99) / SERVICES
            ),
            peer: format!("the same tables by hand, no directory, no grants: {}", made.in_millis()),
            ratio: format!("{:.1}x p50", cold.micros(0.5) / made.micros(0.5)),
        },
        Figure {
            what: format!("create a tenant from a spare, among {around}"),
            ours: claimed.in_millis(),
            peer: format!("three ready schemas renamed by hand: {}", renamed.in_millis()),
            ratio: format!("{:.1}x p50", claimed.micros(0.5) / renamed.micros(0.5)),
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

/// One after the other, by the directory.
async fn creations(stage: &Stage, stem: &str) -> Result<Samples> {
    let (mut times, began) = (Vec::new(), Instant::now());
    for number in 0..CREATIONS {
        let new = new_tenant(&format!("{stem}-{number}"));
        let began = Instant::now();
        stage.world.directory.create_tenant(new).await?;
        times.push(began.elapsed());
    }
    let mut samples = Samples::default();
    samples.add(times, began.elapsed());
    Ok(samples)
}

/// One after the other, by hand; and their schemas renamed.
async fn peers(stage: &Stage, around: usize) -> Result<(Samples, Samples)> {
    let (mut made, mut renamed) = (Samples::default(), Samples::default());
    for number in 0..CREATIONS {
        let name = format!("hand_{around}_{number}");
        let texts = [
            by_hand::tenant(&name),
            format!(
                "BEGIN; ALTER SCHEMA {name}_identity RENAME TO {name}_i; ALTER SCHEMA {name}_tasks RENAME TO {name}_t;
                 ALTER SCHEMA {name}_billing RENAME TO {name}_b; COMMIT"
            ),
        ];
        for (sql, samples) in texts.iter().zip([&mut made, &mut renamed]) {
            let began = Instant::now();
            stage.admin.batch_execute(sql).await.context("make a tenant by hand")?;
            samples.add(vec![began.elapsed()], began.elapsed());
        }
    }
    Ok((made, renamed))
}

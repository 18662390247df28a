//! The data layer on a real PostgreSQL: what routing costs, what neighbours cost, what tenants cost.
//!
//! One stage for all of them: a server that grows from one tenant to ten thousand, measured on the way.
//! It does not sync (`fsync = off`) and vacuums as any other does.

mod archives;
mod bouncer;
mod by_hand;
mod catalogue;
mod choice;
mod creation;
mod memory;
mod neighbours;
mod overhead;
mod samples;
pub(crate) mod smith;
mod stage;

use std::time::Instant;

use anyhow::Result;

use crate::Figure;
use stage::Stage;

/// The names of the figures here.
pub(crate) const NAMES: [&str; 3] = ["data-overhead", "data-neighbours", "data-tenants"];

/// What is wanted.
pub(crate) struct Wanted {
    /// The cost of routing.
    pub(crate) overhead: bool,
    /// The cost of neighbours.
    pub(crate) neighbours: bool,
    /// The cost of making, keeping, exporting and importing tenants.
    pub(crate) tenants: bool,
    /// Only as many tenants as fit into a minute.
    pub(crate) is_quick: bool,
}

/// Measures what is wanted, on one stage.
pub(crate) async fn measure(wanted: &Wanted) -> Result<Vec<Figure>> {
    let began = Instant::now();
    let sizes: &[usize] = if wanted.is_quick {
        &[1, 100]
    } else {
        &[1, 100, 1_000, 10_000]
    };
    let mut figures = Vec::new();
    let mut stage = Stage::new().await?;
    if wanted.tenants {
        figures.extend(among_none(&stage).await?);
    }
    for size in sizes {
        let is_last = Some(size) == sizes.last();
        stage.grow_to(*size).await?;
        if wanted.overhead && *size != 1_000 {
            figures.extend(overhead::measure(&stage).await?);
        }
        if wanted.neighbours && is_last {
            figures.extend(neighbours::measure(&stage, wanted.is_quick).await?);
        }
        if wanted.tenants && (*size == 1_000 || is_last) {
            figures.extend(creation::measure(&stage).await?);
        }
        if wanted.tenants && is_last {
            figures.extend(catalogue::measure(&stage).await?);
            figures.extend(archives::measure(&stage).await?);
        }
        say(&format!(
            "{size} tenants measured after {:.0} s",
            began.elapsed().as_secs_f64()
        ));
    }
    Ok(figures)
}

/// Creations among nobody, in a database of their own on the same server.
async fn among_none(stage: &Stage) -> Result<Vec<Figure>> {
    let empty = Stage::on(stage.world.scratch.another_database().await).await?;
    let figures = creation::measure(&empty).await?;
    let database = empty.connection().database;
    drop(empty);
    let remove = format!("DROP DATABASE {database} WITH (FORCE)");
    stage.admin.batch_execute(&remove).await?;
    Ok(figures)
}

/// A line of progress.
fn say(line: &str) {
    eprintln!("data: {line}");
}

//! `cargo figures`: every figure of the README's table, each beside its peer, in one run.
//!
//! Absolute numbers depend on the machine; ratios are what counts. Peers are measured in turns with
//! us (A B A B), on the same cores as the load generator, and the median of the rounds is taken.

mod calls;
mod data;
mod gauntlet;
mod load;
mod machine;
mod migration;
mod moves;
mod native;
mod peers;
mod releases;
mod rest;
mod sandbox;
mod starts;
mod task;
mod tenants;

use anyhow::{Result, bail};

/// Measured only when it is asked for: it takes ten minutes, and Debian's `sqlsmith`.
const SQLSMITH: &str = "data-sqlsmith";

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) peer: String,
    pub(crate) ratio: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "native-task") {
        return native::serve_task(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "native-hello") {
        return native::serve_hello(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "native-chain") {
        return native::serve_chain(&arguments[1..]);
    }
    if arguments.first().is_some_and(|argument| argument == "gauntlet") {
        return tokio::runtime::Runtime::new()?.block_on(until_interrupted(gauntlet::run(&arguments[1..])));
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let arguments: Vec<String> = arguments.into_iter().filter(|argument| argument != "--quick").collect();
    let mut known = vec![
        "task",
        "sandbox",
        "calls",
        "tenants",
        "migration",
        "moves",
        "rest",
        "many",
        "releases",
        "starts",
    ];
    known.extend(data::NAMES);
    known.push(SQLSMITH);
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        bail!("there is no figure `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut figures = Vec::new();
    runtime.block_on(until_interrupted(async {
        if wanted("task") {
            figures.extend(task::measure().await?);
        }
        if wanted("sandbox") {
            figures.extend(sandbox::measure().await?);
        }
        if wanted("calls") {
            figures.extend(calls::measure().await?);
        }
        if wanted("tenants") {
            figures.extend(tenants::measure().await?);
        }
        if wanted("migration") {
            figures.extend(migration::measure().await?);
        }
        if wanted("moves") {
            figures.extend(moves::measure().await?);
        }
        if wanted("rest") {
            figures.extend(rest::measure().await?);
        }
        if wanted("many") {
            figures.extend(rest::measure_many().await?);
        }
        if wanted("releases") {
            figures.extend(releases::measure().await?);
        }
        if wanted("starts") {
            figures.extend(starts::measure().await?);
        }
        if data::NAMES.into_iter().any(wanted) {
            let wanted = data::Wanted {
                overhead: wanted("data-overhead"),
                neighbours: wanted("data-neighbours"),
                tenants: wanted("data-tenants"),
                is_quick,
            };
            figures.extend(data::measure(&wanted).await?);
        }
        if arguments.iter().any(|argument| argument == SQLSMITH) {
            figures.extend(data::smith::measure(is_quick).await?);
        }
        anyhow::Ok(())
    }))?;
    println!("\n{}\n", machine::describe());
    println!("| what | Terrace | peer | ratio |\n|---|---|---|---|");
    for figure in figures {
        println!(
            "| {} | {} | {} | {} |",
            figure.what, figure.ours, figure.peer, figure.ratio
        );
    }
    Ok(())
}

/// The work, or an error as soon as somebody presses Ctrl-C: what the work started ends with it. A peer has a
/// process group of its own, and would hear nothing of the key.
async fn until_interrupted(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        done = work => done,
        pressed = tokio::signal::ctrl_c() => {
            pressed?;
            bail!("interrupted")
        }
    }
}

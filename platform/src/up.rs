//! The supervisor behind `cargo dev`: PostgreSQL, a node and an edge, each its own process.
//!
//! It starts them in order, deploys the bundles that it was given, makes the demo's tenants, prints
//! the addresses, and starts again whatever dies. Ctrl-C ends all of them; their state stays.

mod child;
mod client;
mod demo;
mod deploy;
mod keys;

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use futures_util::FutureExt;
use terrace_data_embedded::{self as embedded, Postgres};

use crate::{config::Config, parent, secrets::Secrets};
use child::Child;
use client::Client;

/// Starts PostgreSQL, a node and an edge, and watches them until Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "terrace-up",
    version,
    after_help = "Examples:\n  terrace-up --data-dir /var/lib/terrace\n  terrace-up --demo --services target/terrace/services --sites target/terrace/sites\n\nWhile it runs on a terminal: n stops or starts the node, d the database, q ends all."
)]
pub struct Options {
    /// Where state lives: the database, secrets, logs and the edge's snapshot.
    #[arg(long, default_value = ".terrace", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The edge's port [default: 8080, or `edge.listen` of terrace.toml].
    #[arg(long)]
    port: Option<u16>,
    /// The node's port, on the loopback address [default: 8081, or `node.port` of terrace.toml].
    #[arg(long)]
    node_port: Option<u16>,
    /// Start over: every tenant and all data of this folder are removed first.
    #[arg(long)]
    fresh: bool,
    /// The folder of `postgres` and `initdb` [default: found on the PATH and where packages put it].
    #[arg(long, env = "TERRACE_PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
    /// Make the demo's tenants, Acme and Globex, with members that can sign in.
    #[arg(long)]
    demo: bool,
    /// Deploy the service bundles in this folder; may be given several times.
    #[arg(long, value_name = "FOLDER")]
    services: Vec<PathBuf>,
    /// Deploy the site bundles in this folder.
    #[arg(long, value_name = "FOLDER")]
    sites: Option<PathBuf>,
    /// Another terrace.toml than the one in this folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End when standard input ends (for programs that start this one).
    #[arg(long)]
    exit_with_parent: bool,
}

/// What every part of the supervisor knows.
pub(crate) struct Place {
    data_dir: PathBuf,
    base_domain: String,
    port: u16,
    node_port: u16,
    secrets: Secrets,
    config: Option<PathBuf>,
    pg_bin: Option<PathBuf>,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// One sentence, when something cannot be started: a port that is taken, a PostgreSQL that cannot
/// be found, a bundle that is refused.
pub async fn run(options: Options) -> Result<()> {
    let start = Instant::now();
    let config = Config::load(options.config.as_deref())?;
    fs::create_dir_all(&options.data_dir).with_context(|| format!("make {}", options.data_dir.display()))?;
    let data_dir = options.data_dir.canonicalize().context("find the data folder")?;
    let _lock = lock(&data_dir)?;
    if options.fresh {
        start_over(&data_dir).await?;
    }
    for folder in ["log", "run"] {
        fs::create_dir_all(data_dir.join(folder)).with_context(|| format!("make the {folder} folder"))?;
    }
    let place = Place {
        secrets: Secrets::open(&data_dir.join("secrets"))?,
        base_domain: config.base_domain.0.clone(),
        port: options.port.unwrap_or(config.edge.listen.port()),
        node_port: options.node_port.unwrap_or(config.node.port),
        config: Config::file(options.config.as_deref()),
        pg_bin: options.pg_bin.clone(),
        data_dir,
    };
    free_port("the edge", place.port, "--port").await?;
    free_port("the node", place.node_port, "--node-port").await?;
    if options.demo {
        place.secrets.text("operator-password", demo::PASSWORD)?;
    }

    let mut database = Some(start_database(&place).await?);
    let mut node = place.node(database.as_ref())?;
    let mut edge = place.edge()?;
    node.start()?;
    edge.start()?;
    let client = Client::new(&place)?;
    client.wait_for_node(&mut node).await?;
    say("node", "answers");
    for folder in &options.services {
        deploy::services(&client, folder).await?;
    }
    if let Some(folder) = &options.sites {
        deploy::sites(&client, folder).await?;
    }
    if options.demo {
        demo::tenants(&client, &place).await?;
    }
    client.wait_for_edge(&place, &mut edge).await?;
    print_addresses(&place, options.demo, start.elapsed());
    let outcome = watch(&options, &place, &mut node, &mut edge, &mut database).await;
    eprintln!("\nStopping Terrace");
    edge.stop().await;
    node.stop().await;
    if let Some(database) = database {
        database.stop().await.context("stop PostgreSQL")?;
    }
    outcome
}

/// Starts again what dies, and does what the keys say, until it is time to end.
async fn watch(
    options: &Options,
    place: &Place,
    node: &mut Child,
    edge: &mut Child,
    database: &mut Option<Postgres>,
) -> Result<()> {
    let mut keys = keys::read(options.exit_with_parent);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = parent::asked_to_stop() => return Ok(()),
            key = keys.recv() => match key {
                Some(keys::Key::Node) => node.toggle().await?,
                Some(keys::Key::Database) => toggle_database(place, database).await?,
                Some(keys::Key::Quit) => return Ok(()),
                // Standard input is closed for good: only signals are left.
                None => std::future::pending::<()>().await,
            },
            _ = tick.tick() => {
                node.revive()?;
                edge.revive()?;
                revive_database(place, database).await;
            }
        }
    }
}

async fn start_database(place: &Place) -> Result<Postgres> {
    let mut config = embedded::Config::in_directory(place.data_dir.join("postgres"), place.secrets.path("postgres"));
    config.pg_bin.clone_from(&place.pg_bin);
    let database = Postgres::start(config, &|line| say("database", line)).await?;
    fs::write(place.data_dir.join("run/database"), address(&database)).context("write the database's address")?;
    fs::write(place.data_dir.join("run/database.pid"), database.pid().to_string()).context("write a process id")?;
    Ok(database)
}

async fn toggle_database(place: &Place, database: &mut Option<Postgres>) -> Result<()> {
    if let Some(running) = database.take() {
        running.stop().await.context("stop PostgreSQL")?;
        say("database", "stopped; d and Enter start it again");
    } else {
        *database = Some(start_database(place).await?);
    }
    Ok(())
}

async fn revive_database(place: &Place, database: &mut Option<Postgres>) {
    let Some(running) = database else { return };
    if running.wait().now_or_never().is_none() {
        return;
    }
    say("database", "died; starting it again");
    match start_database(place).await {
        Ok(started) => *database = Some(started),
        Err(error) => say("database", &format!("{error:#}")),
    }
}

/// The database's address without its password, as libpq and tokio-postgres read it.
fn address(database: &Postgres) -> String {
    let connection = database.connection();
    format!(
        "host={} port={} user={} dbname={}",
        connection.socket_dir.display(),
        connection.port,
        connection.user,
        connection.database
    )
}

impl Place {
    fn node(&self, database: Option<&Postgres>) -> Result<Child> {
        let database = database.context("a node needs a database")?;
        let mut arguments = vec![
            "--listen".to_owned(),
            format!("127.0.0.1:{}", self.node_port),
            "--data-dir".to_owned(),
            self.data_dir.display().to_string(),
            "--database".to_owned(),
            address(database),
            "--exit-with-parent".to_owned(),
        ];
        if let Some(config) = &self.config {
            arguments.extend(["--config".to_owned(), config.display().to_string()]);
        }
        Child::new("node", "terrace-node", arguments, &self.data_dir)
    }

    fn edge(&self) -> Result<Child> {
        let mut arguments = vec![
            "--listen".to_owned(),
            format!("127.0.0.1:{}", self.port),
            "--node".to_owned(),
            format!("http://127.0.0.1:{}", self.node_port),
            "--data-dir".to_owned(),
            self.data_dir.join("edge").display().to_string(),
            "--exit-with-parent".to_owned(),
        ];
        if let Some(config) = &self.config {
            arguments.extend(["--config".to_owned(), config.display().to_string()]);
        }
        Child::new("edge", "terrace-edge", arguments, &self.data_dir)
    }
}

/// One line of progress.
pub(crate) fn say(who: &str, what: &str) {
    eprintln!("  \u{00b7} {who:<9} {what}");
}

/// One supervisor per data folder: two would fight over one database.
fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("up.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).context("write the lock")?;
            writeln!(file, "{}", std::process::id()).context("write the lock")?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "Terrace already runs on {} (process {}): stop it, or choose another --data-dir",
                data_dir.display(),
                holder.trim()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).context("lock the data folder"),
    }
}

/// Waits a moment for a port: the children of a killed supervisor need one to notice and end.
async fn free_port(who: &str, port: u16, flag: &str) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > patience => {
                bail!(
                    "port {port} for {who} cannot be used ({error}): end the program that has it, or choose another with {flag}"
                )
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Removes all state but the lock that we hold.
async fn start_over(data_dir: &Path) -> Result<()> {
    let database = embedded::Config::in_directory(data_dir.join("postgres"), data_dir.join("secrets/postgres"));
    Postgres::erase(&database).await?;
    for entry in fs::read_dir(data_dir).context("read the data folder")?.flatten() {
        let path = entry.path();
        if entry.file_name() == "up.lock" {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    say("fresh", "everything of before is removed");
    Ok(())
}

fn print_addresses(place: &Place, demo: bool, took: Duration) {
    let (domain, port) = (&place.base_domain, place.port);
    let operator = format!(
        "{} / {}",
        demo::OPERATOR,
        place.secrets.text("operator-password", "").unwrap_or_default()
    );
    println!("\nTerrace is up ({:.1} s).", took.as_secs_f64());
    if demo {
        for tenant in &demo::TENANTS {
            let title = format!("Tasks for {}", tenant.name);
            let address = format!("http://{}.{domain}:{port}", tenant.slug);
            println!(
                "  {title:<17} {address:<30} {} / {}",
                tenant.owner_email,
                demo::PASSWORD
            );
        }
    }
    println!(
        "  {:<17} {:<30} {operator}",
        "Console",
        format!("http://console.{domain}:{port}")
    );
    println!(
        "\n  Logs in {}. Ctrl-C stops everything; state survives.",
        place.data_dir.join("log").display()
    );
}

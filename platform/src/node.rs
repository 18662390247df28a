//! The node: gateway, services, control plane and event dispatch in one process without state.
//!
//! [`compose::Node`] is what it is made of, on one screen. It takes its port first and listens on it
//! last: while it is not ready a connection is refused, which tells the edge to hold the request.

mod adapters;
mod budget;
mod calls;
mod compose;
mod control;
mod database;
mod deliver;
mod deployments;
mod diff;
mod files;
mod lifecycle;
mod logs;
mod manifest;
mod metrics;
mod serve;
mod settings;
mod streams;
mod trials;
mod usage;
mod warm;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use terrace_ground_telemetry as telemetry;
use tokio::net::TcpSocket;
use tracing::{info, warn};

use crate::{config::Config, parent, secrets::Secrets};
use compose::Node;
pub use database::Metrics as MetricsConfig;
use serve::Front;

/// Runs services: takes requests from the edge, and answers the control API.
#[derive(Debug, Parser)]
#[command(
    name = "terrace-node",
    version,
    after_help = "Example:\n  terrace-node --listen 127.0.0.1:8081 --data-dir /var/lib/terrace --database 'host=/run/postgresql user=terrace dbname=terrace'"
)]
pub struct Options {
    /// Where to listen. Only edges may reach it: `/internal` asks for no token.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Secrets and compiled services are kept here.
    #[arg(long, default_value = ".terrace", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The directory's database, as libpq writes it; a missing password is read from the secrets.
    #[arg(long, env = "TERRACE_DATABASE", value_name = "ADDRESS")]
    database: String,
    /// Who asks for objects, where they lie in a bucket ([objects] in terrace.toml).
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true, value_name = "ID")]
    s3_access_key_id: Option<String>,
    /// The secret to it; better given by the environment, which other users of this machine cannot see.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, value_name = "SECRET")]
    s3_secret_access_key: Option<String>,
    /// Another terrace.toml than the one in this folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: a level, or `module=level,level`.
    #[arg(long, env = "TERRACE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
    /// End when standard input ends (for programs that start this one).
    #[arg(long)]
    exit_with_parent: bool,
}

/// The long-lived token of the command line and the supervisor.
///
/// # Errors
/// The secret cannot be read.
pub fn operator_token(secrets: &Secrets) -> Result<String> {
    Ok(format!(
        "op_{}",
        data_encoding::BASE64URL_NOPAD.encode(&secrets.bytes("operator-token")?)
    ))
}

/// Runs until it is asked to stop.
///
/// # Errors
/// One sentence, when it cannot listen or its configuration is wrong.
pub async fn run(options: Options) -> Result<()> {
    let format = if options.log_json {
        telemetry::Format::Json
    } else {
        telemetry::Format::Text
    };
    telemetry::init(&options.log, format);
    let config = Config::load(options.config.as_deref())?;
    let secrets = Secrets::open(&options.data_dir.join("secrets"))?;
    let socket = bind(options.listen).with_context(|| format!("listen on {}", options.listen))?;
    let node = tokio::select! {
        node = compose(&options, &config, &secrets) => node?,
        () = stop(options.exit_with_parent) => return Ok(()),
    };
    // Only now: until the node can answer, a connection is refused, and the edge holds what it can.
    let listener = socket.listen(1024).context("listen")?;
    info!("Ready on {}", options.listen);
    let metering = node.metering.clone();
    let served = serve::accept(
        listener,
        Arc::new(Front::new(&config.base_domain.0, node)),
        stop(options.exit_with_parent),
    )
    .await;
    if let Err(error) = metering.write().await {
        warn!("What was used in the last seconds could not be written: {error}");
    }
    served
}

/// Takes the address without listening on it, so that a taken port is known at once.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Composes the node as soon as its database is there.
async fn compose(options: &Options, config: &Config, secrets: &Secrets) -> Result<Node> {
    let mut pause = Duration::from_millis(50);
    loop {
        match Node::compose(options, config, secrets).await {
            Err(error) if compose::is_away(&error) => {
                warn!("The database is not there yet: {error:#}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            composed => return composed,
        }
    }
}

async fn stop(with_parent: bool) {
    tokio::select! {
        () = parent::asked_to_stop() => {}
        () = parent::gone(), if with_parent => {}
    }
}

//! The edge as a process: reads options and `[edge]` of a configuration file, runs until it is told
//! to stop by a signal or, for a supervised child, by the end of its standard input.

use std::{io::Read as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use terrace_edge::{Config, Edge};
use tokio::{signal::unix, sync::oneshot};

/// Serves the sites of all tenants from memory and forwards /api to the node.
#[derive(Debug, Parser)]
#[command(
    name = "terrace-edge",
    version,
    after_help = "Examples:\n  \
        terrace-edge --node http://127.0.0.1:8081 --data-dir .terrace/edge\n  \
        terrace-edge --listen 0.0.0.0:80 --secure --config /etc/terrace/terrace.toml\n  \
        curl http://127.0.0.1:8080/.well-known/terrace/edge     # how it is\n\n\
        It serves from its data directory even when the node is gone. SIGTERM and Ctrl-C let\n\
        requests in flight finish."
)]
struct Options {
    /// Where browsers connect [default: 127.0.0.1:8080]
    #[arg(long, env = "TERRACE_EDGE_LISTEN")]
    listen: Option<SocketAddr>,
    /// The node behind it [default: http://127.0.0.1:8081]
    #[arg(long, env = "TERRACE_EDGE_NODE")]
    node: Option<String>,
    /// Where the last snapshot lives [default: .terrace/edge]
    #[arg(long, env = "TERRACE_EDGE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A terrace.toml, whose section [edge] has every limit
    #[arg(long, env = "TERRACE_CONFIG")]
    config: Option<PathBuf>,
    /// Browsers reach the edge over TLS: send HSTS, tell services `https`
    #[arg(long)]
    secure: bool,
    /// Stop when standard input ends, because the supervisor is gone
    #[arg(long)]
    exit_with_parent: bool,
    /// What to log: info, debug, terrace_edge=debug,info
    #[arg(long, env = "TERRACE_LOG", default_value = "info")]
    log: String,
    /// Log one JSON object per line
    #[arg(long)]
    log_json: bool,
}

/// The part of `terrace.toml` that is the edge's. Other sections have other readers, who check them.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct File {
    edge: Config,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terrace-edge: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> anyhow::Result<()> {
    let format = if options.log_json {
        terrace_ground_telemetry::Format::Json
    } else {
        terrace_ground_telemetry::Format::Text
    };
    terrace_ground_telemetry::init(&options.log, format);
    let config = resolve(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("edge")
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(run(config, options.exit_with_parent));
    // An encoding that still runs on the blocking pool is done again at the next start.
    runtime.shutdown_background();
    result
}

/// The error and its causes in one line, without a cause that the error already quotes.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

fn resolve(options: &Options) -> anyhow::Result<Config> {
    let mut config = match &options.config {
        Some(path) => terrace_ground_config::load::<File>(path)?.edge,
        None => Config::default(),
    };
    config.listen = options.listen.unwrap_or(config.listen);
    config.secure |= options.secure;
    if let Some(node) = &options.node {
        config.node.clone_from(node);
    }
    if let Some(data_dir) = &options.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    Ok(config)
}

async fn run(config: Config, exit_with_parent: bool) -> anyhow::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt()).context("listen for SIGINT")?;
    let edge = Edge::start(config).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_gone(exit_with_parent) => {}
    }
    tracing::info!("Draining");
    edge.stop().await;
    Ok(())
}

/// Waits for the end of standard input, on a thread of its own: a read of it cannot be cancelled,
/// and must not keep the runtime from ending.
async fn parent_gone(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let (gone, heard) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 256];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        let _ = gone.send(());
    });
    let _ = heard.await;
}

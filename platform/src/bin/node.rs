//! The node process: `terrace-node`.

use std::process::ExitCode;

use clap::Parser;
use terrace_platform::node;

#[tokio::main]
async fn main() -> ExitCode {
    match node::run(node::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\u{2717} {error:#}");
            ExitCode::FAILURE
        }
    }
}

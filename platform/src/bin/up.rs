//! The supervisor process: `terrace-up`.

use std::process::ExitCode;

use clap::Parser;
use terrace_platform::up;

#[tokio::main]
async fn main() -> ExitCode {
    match up::run(up::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n\u{2717} {error:#}");
            ExitCode::FAILURE
        }
    }
}

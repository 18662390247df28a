//! The node process: `terrace-node`.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use terrace_platform::node;

/// A request allocates on one thread and frees on another; the system's allocator is slow at that, and
/// keeps what a spike took.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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

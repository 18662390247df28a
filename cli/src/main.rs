//! The `terrace` command: thin over the public API.
//!
//! It speaks HTTP to the control plane and knows no other crate of the platform, so all that it can
//! do, any client can do. Data goes to standard output; progress, questions and errors go to standard
//! error; the exit code says what kind of error it was (`Failure::exit_code`).

mod api;
mod arguments;
mod bundle;
mod changes;
mod commands;
mod connection;
mod failure;
mod figures;
mod output;
mod progress;
mod reference;
mod settings;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

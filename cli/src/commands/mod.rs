//! One file for each noun: asks the API and shows the answer.

mod archive;
mod cluster;
mod database;
mod deploy;
mod invoke;
mod login;
mod logs;
mod meters;
mod operations;
mod release;
mod service;
mod setting;
mod site;
mod status;
mod tenant;
mod usage;

use std::time::Duration;

use clap::CommandFactory as _;

use crate::{
    api::Api,
    arguments::{Arguments, Command, Global},
    connection,
    failure::Failure,
    output::Output,
    reference,
};

/// How long an answer may take: creating or deleting a large tenant, compiling a large release.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs what was typed.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    let output = Output::new(global.json);
    match command {
        Command::Tenant(command) => tenant::run(&api(&global)?, output, command),
        Command::Cluster(command) => cluster::run(&api(&global)?, output, command),
        Command::Service(command) => service::run(&api(&global)?, output, command),
        Command::Site(command) => site::run(&api(&global)?, output, command),
        Command::Deploy(options) => deploy::run(&api(&global)?, output, &options, None),
        Command::Rollback { service, to, force } => {
            release::rollback(&api(&global)?, output, &service, to.as_deref(), force)
        }
        Command::Invoke(options) => invoke::run(&api(&global)?, output, &options),
        Command::Release(command) => release::run(&api(&global)?, output, command),
        Command::Logs(options) => logs::run(&api(&global)?, output, &options),
        Command::Secret(command) => setting::secret(&api(&global)?, output, command),
        Command::Config(command) => setting::config(&api(&global)?, output, command),
        Command::Meters(options) => meters::run(&api(&global)?, output, options.watch),
        Command::Usage(options) => usage::run(&api(&global)?, output, &options),
        Command::Status => status::run(connection::find(&global)?, output),
        Command::Login(options) => login::run(global, output, options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "terrace", &mut script);
            output.text(&String::from_utf8_lossy(&script))
        }
        Command::Reference => output.text(&reference::page()),
    }
}

fn api(global: &Global) -> Result<Api, Failure> {
    Ok(Api::new(connection::find(global)?, PATIENCE))
}

/// A path's part, with everything but letters, digits, `-` and `_` escaped, so that no argument can
/// become another path.
fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_argument_becomes_another_path() {
        assert_eq!(super::segment("acme"), "acme");
        assert_eq!(super::segment("../sites?x=å"), "%2E%2E%2Fsites%3Fx%3D%C3%A5");
    }
}

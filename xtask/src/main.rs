//! What `cargo dev`, `cargo verify` and `cargo figures` run: builds, checks and starts the whole product.
//!
//! It has no dependency but `anyhow`, so that the first line of progress appears seconds after a
//! clean clone. It installs what it can and says in one line what it cannot.

mod bundles;
mod dev;
mod figures;
mod javascript;
mod paths;
mod sites;
mod steps;
mod system;
mod verify;
mod wasm;

use std::process::ExitCode;

const HELP: &str = "\
Terrace's own commands. Each is an alias in .cargo/config.toml.

  cargo dev [--fresh] [--port 8080] [--node-port 8081] [--data-dir .terrace]
      From a clean clone to a running product: builds the services and sites, starts PostgreSQL,
      the edge and a node, creates two demo tenants and prints their addresses. Ctrl-C stops all;
      state survives; --fresh starts over.

  cargo verify [STEP ...]
      Exactly what CI runs, fastest first. With names of steps, only those: format lint contracts
      services examples test sites browser; and newest-postgres, which runs every test on the newest
      PostgreSQL that npm's registry has.

  cargo figures [FIGURE ...] [--quick]
      Measures every figure that the README's table shows, each beside its peer. With names, only
      those: task sandbox calls tenants rest many releases starts moves migration data-overhead
      data-neighbours data-tenants; and data-sqlsmith, only by its name (Debian: sqlsmith).
      --quick: those of the data layer with 100 tenants instead of 10,000.

  cargo gauntlet [ATTACK ...]
      Runs every attack of tests/gauntlet against the sandbox while another tenant asks on, then
      against its peers (wasmtime serve, jco serve, workerd), and prints a table. With names of
      attacks, only those.

  cargo xtask build
      Builds what `cargo dev` builds, and starts nothing.

  cargo xtask contracts
      Writes contracts/openapi/*.json and the TypeScript client again, from the services' types.

Examples:
  cargo dev --port 9000
  cargo verify format lint
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let help = rest.iter().any(|argument| argument == "--help" || argument == "-h");
    let done = match command.as_str() {
        _ if help => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        "dev" => dev::run(&rest),
        "verify" => verify::run(&rest),
        "figures" => figures::run(&rest),
        "gauntlet" => figures::gauntlet(&rest),
        "build" => dev::build().map(|_| ()),
        "contracts" => verify::write_contracts(),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => Err(anyhow::anyhow!(
            "there is no command `{other}`; `cargo xtask help` lists them"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n\u{2717} {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! What can be typed: every command, its options and its examples.

mod tenants;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use jiff::SignedDuration;

pub(crate) use tenants::{
    AddCluster, Cluster, CreateTenant, ExportTenant, ImportTenant, RenameTenant, RestoreTenant, Tenant,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: what was asked cannot be done; standard error says why
  2  usage: the command line or terrace.toml is wrong
  3  not found: there is no such tenant, service or site
  4  not authorised: sign in with `terrace login`
  5  unavailable: the platform, or a part of it, does not answer

Examples:
  terrace status
  terrace tenant create acme --name Acme --owner-email ada@acme.example
  terrace deploy target/terrace/services/tasks
  terrace tenant list --json | jq -r '.items[].slug'

Where it connects to, the first of:
  1. --url, or TERRACE_URL
  2. `url` in section [cli] of the nearest terrace.toml
  3. the nearest .terrace/operator.json, which `cargo dev` writes
  4. the last `terrace login`";

/// Terrace from the command line: tenants, services, sites and what they are doing.
#[derive(Debug, Parser)]
#[command(name = "terrace", version, after_help = EXIT_CODES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The console's address, like https://console.example.com
    #[arg(long, global = true, env = "TERRACE_URL", hide_env_values = true, value_hint = ValueHint::Url, help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// The host to ask for, where it is not the one in the address
    #[arg(
        long,
        global = true,
        env = "TERRACE_HOST",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) host: Option<String>,
    /// The operator token; better given as TERRACE_TOKEN, which other users of this machine cannot see
    #[arg(
        long,
        global = true,
        env = "TERRACE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) token: Option<String>,
    /// Print the API's JSON instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Customers: list, show, create, suspend, resume, rename, plan, export, import, restore, delete
    #[command(subcommand, visible_alias = "tenants")]
    Tenant(Tenant),
    /// PostgreSQL servers: list, add, drain, open, balance
    #[command(subcommand, visible_alias = "clusters")]
    Cluster(Cluster),
    /// Units of backend code and their releases: list, show, deploy, activate
    #[command(subcommand, visible_alias = "services")]
    Service(Service),
    /// Static frontends and their builds: list, deploy
    #[command(subcommand, visible_alias = "sites")]
    Site(Site),
    /// Deploy a service or a site from its folder
    ///
    /// A folder with service.toml is a service, one with site.toml is a site; a single component
    /// (tasks.wasm) is a service that answers everything below /api/tasks/. What a service newly asks
    /// for, and what its contract breaks, is shown first and asked about. Deploying what is already
    /// there changes nothing.
    #[command(
        after_help = "Examples:\n  terrace deploy target/terrace/services/tasks\n  terrace deploy target/terrace/services/tasks --dry-run\n  terrace deploy target/terrace/services/tasks --canary 5%\n  terrace deploy target/terrace/services/tasks --canary acme,globex --yes\n  terrace deploy hello.wasm --yes --allow-breaking --json | jq -r .id\n  terrace deploy target/terrace/sites/tasks --json"
    )]
    Deploy(Deploy),
    /// Route a service's requests to the release before
    ///
    /// Requests that run finish where they began. Schemas stay as they are.
    #[command(
        after_help = "Examples:\n  terrace rollback tasks\n  terrace rollback tasks --to r_7f3k9q2m4x\n\n`terrace service show tasks` lists the releases."
    )]
    Rollback {
        /// The service's name
        service: String,
        /// The release's id; the one that was served before when absent
        #[arg(long, value_name = "RELEASE")]
        to: Option<String>,
        /// Go back although migrations have taken away what that release uses
        #[arg(long)]
        force: bool,
    },
    /// Send one request to a service, and see what became of it
    ///
    /// As an owner called `operator`, for one tenant: what it writes is written. Log lines, how long it
    /// took, and what ended it go to standard error; the body goes to standard output. A folder or a
    /// component (tasks.wasm) that is not deployed is compiled and run for a tenant that does not
    /// exist; nothing is stored.
    #[command(
        after_help = "Examples:\n  terrace invoke tasks GET /boards --tenant acme\n  terrace invoke tasks POST /boards --tenant acme --data '{\"title\": \"Launch\"}'\n  terrace invoke tasks POST /boards --tenant acme --data @board.json --json | jq .logs\n  terrace invoke target/terrace/hostile/gauntlet GET /ping\n  terrace invoke hello.wasm GET /ping --include"
    )]
    Invoke(Invoke),
    /// Releases: show one, promote or abort a canary
    #[command(subcommand, visible_alias = "releases")]
    Release(Release),
    /// What services may know and nobody else: set, list, delete
    #[command(subcommand, visible_alias = "secrets")]
    Secret(Secret),
    /// Plain values of services: set, list, delete
    #[command(subcommand)]
    Config(Values),
    /// Requests, errors and latencies of the last minute, by tenant and by service
    #[command(
        after_help = "Examples:\n  terrace meters\n  terrace meters --watch\n  terrace meters --json | jq .totals\n  terrace meters --watch --json   # one JSON document a line, one a second"
    )]
    Meters(Meters),
    /// What services wrote, and what ended their requests
    ///
    /// A node keeps the last 500 lines of each service. A request that trapped or passed a limit leaves
    /// a line that says where.
    #[command(
        after_help = "Examples:\n  terrace logs\n  terrace logs --service tasks --follow\n  terrace logs --tenant acme --level warn\n  terrace logs --service tasks --limit 1000 --json | jq -r '.items[].message'"
    )]
    Logs(Logs),
    /// What tenants used of services: requests, processor time, memory, database, traffic
    ///
    /// Kept by hour for 400 days. A call between services counts for the one that is called.
    #[command(
        after_help = "Examples:\n  terrace usage\n  terrace usage --tenant acme --since 30d\n  terrace usage --service tasks --since 6h --hourly\n  terrace usage --since 30d --json | jq '[.items[].cpu_us] | add'"
    )]
    Usage(Usage),
    /// Whether the edge, the node and the database are up
    #[command(
        after_help = "Exits with 5 when one of them is down.\n\nExamples:\n  terrace status\n  terrace status --json | jq -r .node.version"
    )]
    Status,
    /// Sign in and remember the session
    ///
    /// Asks for address and password and keeps the session, which lasts 12 hours, in a file that only
    /// you can read. With --token-stdin it keeps a long-lived operator token instead.
    #[command(
        after_help = "Examples:\n  terrace login https://console.example.com\n  terrace login http://console.localhost:8080 --email operator@terrace.example\n  pass terrace/operator | terrace login https://console.example.com --token-stdin"
    )]
    Login(Login),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n  terrace completions bash > ~/.local/share/bash-completion/completions/terrace\n  terrace completions zsh > \"${fpath[1]}/_terrace\"\n  terrace completions fish > ~/.config/fish/completions/terrace.fish"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print docs/reference/cli.md
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// List services and the releases that requests go to
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace service list\n  terrace service list --json | jq -r '.items[] | \"\\(.name) \\(.current.id)\"'"
    )]
    List,
    /// Show a service and its releases
    #[command(after_help = "Examples:\n  terrace service show tasks")]
    Show {
        /// Its name
        service: String,
    },
    /// Deploy a service from its folder
    ///
    /// The folder holds service.toml, service.wasm, openapi.json and migrations/. If the release cannot
    /// run, the one before it stays.
    #[command(after_help = "Examples:\n  terrace service deploy target/terrace/services/tasks")]
    Deploy(Deploy),
    /// Route requests to another release, as a deploy of it does
    #[command(
        after_help = "Examples:\n  terrace service activate tasks r_7f3k9q2m4x\n\n`terrace service show tasks` lists the releases."
    )]
    Activate {
        /// The service's name
        service: String,
        /// The release's id
        release: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// List sites and the builds that visitors get
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace site list\n  terrace site list --json | jq -r '.items[].current.id'"
    )]
    List,
    /// Deploy a site from its folder
    ///
    /// The folder holds site.toml and the static files. Tabs that are open keep the build they have.
    #[command(after_help = "Examples:\n  terrace site deploy target/terrace/sites/tasks")]
    Deploy(Folder),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Show where a release comes from, what it may do, and what is different from the served one
    #[command(
        after_help = "Examples:\n  terrace release show tasks r_7f3k9q2m4x\n  terrace release show tasks r_7f3k9q2m4x --json | jq .imports"
    )]
    Show {
        /// The service's name
        service: String,
        /// The release's id
        release: String,
    },
    /// Give the canary to every tenant
    #[command(after_help = "Examples:\n  terrace release promote tasks")]
    Promote {
        /// The service's name
        service: String,
    },
    /// Take the canary from its tenants
    #[command(after_help = "Examples:\n  terrace release abort tasks")]
    Abort {
        /// The service's name
        service: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// The service's name; or the folder, or the component, of one that is not deployed
    pub(crate) service: String,
    /// The method
    pub(crate) method: String,
    /// The path: /boards is /api/tasks/boards
    pub(crate) path: String,
    /// Whose data it works on, by slug or id
    #[arg(long, short)]
    pub(crate) tenant: Option<String>,
    /// The body; @file reads it from a file, - from standard input
    #[arg(long, short, allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// A header, as `name: value`; may be given again
    #[arg(long, short = 'H', value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// Ask as nobody
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Print the answer's headers, too
    #[arg(long, short)]
    pub(crate) include: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The folder, or a component
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Only show what would change; nothing is stored
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Deploy it although it newly asks for something
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Deploy it although clients of the served release can fail on it
    #[arg(long)]
    pub(crate) allow_breaking: bool,
    /// Deploy it although its migrations make tenants wait, or take away what the served release uses
    #[arg(long)]
    pub(crate) force_migration: bool,
    /// Only for a share of the tenants (5%), or for some (acme,globex)
    #[arg(long, value_name = "WHO")]
    pub(crate) canary: Option<String>,
}

impl Deploy {
    /// A site has no options.
    pub(crate) fn of_site(path: PathBuf) -> Self {
        Self {
            path,
            dry_run: false,
            yes: false,
            allow_breaking: false,
            force_migration: false,
            canary: None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret of a service, from standard input
    ///
    /// On a terminal it asks, and shows nothing. The value is sealed where it is kept, and cannot be
    /// shown again. A service reads it if its manifest lists it in `secrets`; listed in
    /// `[http.credentials]` instead, it is put into requests that the service sends, and the service
    /// never sees it.
    #[command(
        after_help = "Examples:\n  pass stripe/live | terrace secret set billing stripe-key\n  terrace secret set billing stripe-key --tenant acme"
    )]
    Set(SettingName),
    /// List the secrets of a service; never their values
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace secret list billing\n  terrace secret list billing --json | jq -r '.items[].name'"
    )]
    List {
        /// The service's name
        service: String,
    },
    /// Delete a secret of a service
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  terrace secret delete billing stripe-key\n  terrace secret delete billing stripe-key --tenant acme"
    )]
    Delete(SettingName),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Values {
    /// Set a value of a service
    ///
    /// A service reads it if its manifest lists it in `config`.
    #[command(
        after_help = "Examples:\n  terrace config set tasks greeting \"Good morning\"\n  terrace config set tasks greeting \"Guten Morgen\" --tenant acme\n  terrace config set tasks rules - < rules.json"
    )]
    Set {
        #[command(flatten)]
        setting: SettingName,
        /// The value; `-` reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// List the values of a service
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace config list tasks\n  terrace config list tasks --json | jq -r '.items[] | \"\\(.name) \\(.value)\"'"
    )]
    List {
        /// The service's name
        service: String,
    },
    /// Delete a value of a service
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  terrace config delete tasks greeting --tenant acme"
    )]
    Delete(SettingName),
}

#[derive(Debug, Args)]
pub(crate) struct SettingName {
    /// The service's name
    pub(crate) service: String,
    /// Its name, as the service's manifest lists it
    pub(crate) name: String,
    /// Only for this tenant, by slug or id; for all that have none of their own when absent
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Meters {
    /// Again every second, until Ctrl-C
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only this service
    #[arg(long, short, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Only this tenant, by its slug or id
    #[arg(long, short, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Only lines that matter at least as much
    #[arg(long, short, value_enum)]
    pub(crate) level: Option<Level>,
    /// The newest lines, at most so many
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Then the lines as they are written, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Only this tenant, by its slug or id; by its id also after it was deleted
    #[arg(long, short, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Only this service
    #[arg(long, short, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// How far to look back: 90m, 6h, 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since)]
    pub(crate) since: SignedDuration,
    /// A row for each hour; at most 31 days
    #[arg(long)]
    pub(crate) hourly: bool,
}

/// A time to look back.
fn since(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is no time: a number with m, h or d, like 90m, 6h or 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(SignedDuration::from_mins(i64::from(number) * minutes))
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The console's address; where the other commands connect to when absent
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) address: Option<String>,
    /// Your e-mail address; asked for when absent
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Read the password from standard input instead of asking
    #[arg(long, conflicts_with = "token_stdin")]
    pub(crate) password_stdin: bool,
    /// Read a long-lived operator token from standard input and keep that
    #[arg(long, conflicts_with = "email")]
    pub(crate) token_stdin: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_shows_an_example() {
        let mut root = Arguments::command();
        root.clone().debug_assert();
        root.build();
        check(&root);
    }

    fn check(command: &clap::Command) {
        for each in command.get_subcommands().filter(|each| !each.is_hide_set()) {
            if each.has_subcommands() {
                check(each);
            } else {
                let help = each.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:\n  "), "{}", each.get_name());
            }
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_usage_code() {
        for line in [
            &["terrace"][..],
            &["terrace", "tennant"],
            &["terrace", "tenant", "show"],
            &["terrace", "login", "--token-stdin", "--email", "a"],
        ] {
            assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}

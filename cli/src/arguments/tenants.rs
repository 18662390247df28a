//! Tenants and the clusters that they live on.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// List tenants, in the order of their slugs
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace tenant list\n  terrace tenant list --json | jq -r '.items[] | select(.plan == \"team\") | .slug'"
    )]
    List,
    /// Show a tenant and where its data lives
    #[command(after_help = "Examples:\n  terrace tenant show acme\n  terrace tenant show t_7f3k9q2m --json")]
    Show(TenantName),
    /// Show how a tenant's data is doing: size, migrations, lock waits, slowest statements
    #[command(
        visible_alias = "db",
        after_help = "Sizes and locks are read from the tenant's cluster now. Connections and statements are counted by the node\nthat answers; statements are known by their fingerprint and shown without their values.\n\nExamples:\n  terrace tenant database acme\n  terrace tenant database acme --full\n  terrace tenant database acme --json | jq '.statements[] | {fingerprint, mean_ms, text}'"
    )]
    Database {
        #[command(flatten)]
        tenant: TenantName,
        /// Every statement, with its whole text
        #[arg(long)]
        full: bool,
    },
    /// Create a tenant, with the schemas of every service
    #[command(
        after_help = "Without --owner-email nobody can sign in to it yet. Without a password one is made and printed once.\n\nExamples:\n  terrace tenant create acme --name Acme\n  terrace tenant create acme --plan team --owner-email ada@acme.example --owner-name \"Ada Lovelace\"\n  terrace tenant create acme --region eu\n  pass acme/ada | terrace tenant create acme --owner-email ada@acme.example --owner-password-stdin"
    )]
    Create(CreateTenant),
    /// Put a tenant on hold: its members are refused, its events wait, its data stays
    #[command(
        after_help = "Returns when what ran in it has ended; other nodes follow within a second.\n\nExamples:\n  terrace tenant suspend acme"
    )]
    Suspend(TenantName),
    /// Serve a suspended tenant again; its events go on where they stopped
    #[command(after_help = "Examples:\n  terrace tenant resume acme")]
    Resume(TenantName),
    /// Change what a tenant pays for
    #[command(
        after_help = "Services that want to know are told: their limits change at once.\n\nExamples:\n  terrace tenant plan acme team"
    )]
    Plan {
        #[command(flatten)]
        tenant: TenantName,
        /// The new plan: free or team
        plan: String,
    },
    /// Give a tenant another name, another slug, or both
    #[command(
        after_help = "With a new slug it has a new host; the old one answers unknown-host, and no other tenant may have it for\n30 days, unless --release-old-slug is given. Id, data and sessions stay.\n\nExamples:\n  terrace tenant rename acme --name \"Acme Works\"\n  terrace tenant rename acme --slug acme-works\n  terrace tenant rename acme --slug acme-works --release-old-slug"
    )]
    Rename(RenameTenant),
    /// Write a tenant to an archive, at one moment, while it is in use
    #[command(
        after_help = "The archive is described in docs/reference/archive.md. It holds all of the tenant's data: keep it as you keep\nthe database.\n\nExamples:\n  terrace tenant export acme\n  terrace tenant export acme -o backup/acme.terrace --overwrite\n  terrace tenant export acme -o - | ssh vault 'cat > acme.terrace'"
    )]
    Export(ExportTenant),
    /// Make a new tenant from an archive, of this Terrace or of another
    #[command(
        after_help = "All of the archive is checked before anything is written. An import that was interrupted is finished by\nitself, or by `terrace tenant finish`; `terrace tenant delete` undoes it.\n\nExamples:\n  terrace tenant import acme.terrace --slug acme2\n  terrace tenant import acme.terrace --slug acme --name Acme --plan team"
    )]
    Import(ImportTenant),
    /// Bring a tenant back to what an archive of it says
    #[command(
        after_help = "It is made beside the tenant, which is served meanwhile, and verified; then the two change places in one moment.\nThe tenant keeps its id, names, plan and settings. What it was before is kept as a suspended tenant of its own,\nwith all that was written since the archive was made: look at it, and delete it when it is not needed any more.\nA tenant that was deleted is not restored; `terrace tenant import --force` makes a new one of its archive.\n\nExamples:\n  terrace tenant restore acme acme.terrace\n  terrace tenant restore acme backup/acme.terrace --yes"
    )]
    Restore(RestoreTenant),
    /// Move a tenant to another cluster, or into a lane of its own, while it is in use
    #[command(
        name = "move",
        after_help = "Its tables are copied and followed; then its requests wait for some milliseconds and go on at the other\ncluster. When the clusters are too far behind each other for that, it is tried again, and the tenant is served\nwhere it was. --cancel gives a move up that has not switched yet.\n\nA lane is a login of the database with its own connections, which up to 64 tenants share. Into another lane\nnothing is copied, and nothing waits. `[tenants.lane_tenants]` gives lanes to plans.\n\nExamples:\n  terrace tenant move acme --to eu-2\n  terrace tenant move acme --lane own\n  terrace tenant move acme --cancel"
    )]
    Move {
        #[command(flatten)]
        tenant: TenantName,
        /// The cluster, as `terrace cluster list` shows it
        #[arg(long, required_unless_present_any = ["lane", "cancel"])]
        to: Option<String>,
        /// Its lane there: own, or shared with neighbours
        #[arg(long, value_parser = ["own", "shared"])]
        lane: Option<String>,
        /// Give up the move that runs
        #[arg(long, conflicts_with_all = ["to", "lane"])]
        cancel: bool,
    },
    /// Prove that a tenant was deleted: when, by whom, and what was removed
    #[command(
        after_help = "It is kept under the id that the tenant had; `terrace tenant operations` lists ids of tenants that are gone.\n\nExamples:\n  terrace tenant evidence t_7f3k9q2m\n  terrace tenant evidence t_7f3k9q2m --json > deletion-of-acme.json"
    )]
    Evidence(TenantName),
    /// What is done to tenants, and what was done to one of them
    #[command(
        visible_alias = "ops",
        after_help = "A tenant that was deleted is found by its id.\n\nExamples:\n  terrace tenant operations\n  terrace tenant operations acme\n  terrace tenant operations t_7f3k9q2m --json | jq '.items[0].evidence'"
    )]
    Operations {
        /// Its slug or its id; all tenants when absent
        tenant: Option<String>,
    },
    /// Finish what was begun on a tenant and stopped half way
    #[command(
        visible_alias = "resume-operation",
        after_help = "Nodes do so by themselves; this does it now, and says why if it cannot be done.\n\nExamples:\n  terrace tenant finish acme"
    )]
    Finish(TenantName),
    /// Delete a tenant and all its data; there is no way back
    #[command(
        visible_alias = "rm",
        after_help = "Asks to type the slug, unless --yes is given.\n\nExamples:\n  terrace tenant delete acme\n  terrace tenant delete acme --yes"
    )]
    Delete {
        #[command(flatten)]
        tenant: TenantName,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TenantName {
    /// Its slug or its id
    pub(crate) tenant: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateTenant {
    /// The first label of its host: `acme` in acme.example.com
    pub(crate) slug: String,
    /// Its name, to show; the slug when absent
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it pays for: free or team
    #[arg(long, default_value = "free")]
    pub(crate) plan: String,
    /// Only on a cluster of this region; on any when absent
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Its first member's e-mail address
    #[arg(long)]
    pub(crate) owner_email: Option<String>,
    /// Its first member's name; the address when absent
    #[arg(long, requires = "owner_email")]
    pub(crate) owner_name: Option<String>,
    /// Read the first member's password from standard input
    #[arg(long, requires = "owner_email")]
    pub(crate) owner_password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RenameTenant {
    #[command(flatten)]
    pub(crate) tenant: TenantName,
    /// The new first label of its host
    #[arg(long, required_unless_present = "name")]
    pub(crate) slug: Option<String>,
    /// The new name, to show
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Let others have the old slug at once
    #[arg(long, requires = "slug")]
    pub(crate) release_old_slug: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportTenant {
    #[command(flatten)]
    pub(crate) tenant: TenantName,
    /// Where to; `-` is standard output. The tenant's name and `.terrace` when absent
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportTenant {
    /// The archive
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The first label of its host
    #[arg(long)]
    pub(crate) slug: String,
    /// Its name, to show; the archive's when absent
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it pays for: free or team; the archive's when absent
    #[arg(long)]
    pub(crate) plan: Option<String>,
    /// Bring back a tenant that was deleted here
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreTenant {
    #[command(flatten)]
    pub(crate) tenant: TenantName,
    /// The archive
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Take the archive of another tenant, too
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// List clusters, and how much is on them
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  terrace cluster list\n  terrace cluster list --json | jq '.items[] | {name, tenants}'"
    )]
    List,
    /// Add a PostgreSQL server that takes tenants
    #[command(
        after_help = "The database must be there and empty, and every node must reach it under this address; so must the other\nclusters, if tenants are to be moved. The password of the login lies in the nodes' secrets (a file named\n`cluster-` and the name, which they read when they start). Adding it again changes what was said.\n\nExamples:\n  terrace cluster add eu-2 --host 10.0.4.2\n  terrace cluster add premium --host 10.0.4.3 --region eu --plan team\n  terrace cluster add local --host /run/postgresql --database terrace2"
    )]
    Add(AddCluster),
    /// Keep new tenants from a cluster
    #[command(
        after_help = "Those that it has stay; `terrace cluster balance` suggests where to move them.\n\nExamples:\n  terrace cluster drain eu-2"
    )]
    Drain {
        /// Its name
        cluster: String,
    },
    /// Let a cluster take new tenants again
    #[command(after_help = "Examples:\n  terrace cluster open eu-2")]
    Open {
        /// Its name
        cluster: String,
    },
    /// Suggest moves: away from clusters that are drained, and towards equal shares
    #[command(
        after_help = "Nothing is changed. --apply makes the moves, one after the other.\n\nExamples:\n  terrace cluster balance\n  terrace cluster balance --apply\n  terrace cluster balance --json | jq -r '.items[] | \"terrace tenant move \\(.slug) --to \\(.to)\"'"
    )]
    Balance {
        /// Make the moves
        #[arg(long)]
        apply: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddCluster {
    /// Its name
    pub(crate) name: String,
    /// A name or an address, or the folder of a unix socket
    #[arg(long)]
    pub(crate) host: String,
    /// The port
    #[arg(long, default_value_t = 5432)]
    pub(crate) port: u16,
    /// The database
    #[arg(long, default_value = "terrace")]
    pub(crate) database: String,
    /// The platform's own login there; the directory's when absent
    #[arg(long)]
    pub(crate) login: Option<String>,
    /// Where it is, in your words
    #[arg(long, default_value = "")]
    pub(crate) region: String,
    /// Only new tenants of this plan: free or team. May be given twice
    #[arg(long = "plan", value_name = "PLAN")]
    pub(crate) plans: Vec<String>,
}

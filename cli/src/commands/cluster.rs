//! `terrace cluster`: PostgreSQL servers that take tenants.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{operations, segment};
use crate::{
    api::Api,
    arguments::{AddCluster, Cluster},
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::Table,
};

const PATH: &str = "/api/control/clusters";

#[derive(Deserialize)]
struct Shown {
    name: String,
    state: String,
    region: String,
    plans: Option<Vec<String>>,
    draining: bool,
    movable: Option<bool>,
    version: Option<String>,
    lanes: u64,
    tenants: u64,
    size_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Suggestion {
    slug: String,
    from: String,
    to: String,
}

pub(crate) fn run(api: &Api, output: Output, command: Cluster) -> Result<(), Failure> {
    match command {
        Cluster::List => list(api, output),
        Cluster::Add(options) => add(api, output, options),
        Cluster::Drain { cluster } => turn(api, output, &cluster, "drain"),
        Cluster::Open { cluster } => turn(api, output, &cluster, "open"),
        Cluster::Balance { apply } => balance(api, output, apply),
    }
}

fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let answer = progress::waiting("Asking the clusters", || api.list(PATH))?;
    if output.json {
        return output.json(&answer);
    }
    let mut table = Table::new(&[
        "cluster", "state", "region", "plans", "version", ">tenants", ">lanes", ">size", "movable",
    ]);
    for cluster in Vec::<Shown>::deserialize(&answer["items"])? {
        let dash = || "-".to_owned();
        let state = match (cluster.state.as_str(), cluster.draining) {
            ("up", true) => "draining".to_owned(),
            _ => cluster.state,
        };
        table.row([
            cluster.name,
            state,
            Some(cluster.region)
                .filter(|region| !region.is_empty())
                .unwrap_or_else(dash),
            cluster.plans.map_or_else(|| "all".to_owned(), |plans| plans.join(", ")),
            cluster.version.unwrap_or_else(dash),
            cluster.tenants.to_string(),
            cluster.lanes.to_string(),
            cluster.size_bytes.map_or_else(dash, figures::size),
            match cluster.movable {
                Some(true) => "yes".to_owned(),
                Some(false) => "no: wal_level is not logical".to_owned(),
                None => dash(),
            },
        ]);
    }
    output.table(&table, "No clusters yet.")
}

fn add(api: &Api, output: Output, options: AddCluster) -> Result<(), Failure> {
    let mut body = json!({ "name": options.name, "host": options.host, "port": options.port, "database": options.database, "region": options.region });
    if let Some(login) = options.login {
        body["login"] = login.into();
    }
    if !options.plans.is_empty() {
        body["plans"] = options.plans.into();
    }
    let answer = progress::waiting("Preparing the cluster", || api.post(PATH, &body))?.body;
    say(output, &answer, |name| format!("{name} takes tenants now"))
}

fn turn(api: &Api, output: Output, cluster: &str, what: &str) -> Result<(), Failure> {
    let answer = api.act(&format!("{PATH}/{}/{what}", segment(cluster)))?;
    say(output, &answer, |name| match what {
        "drain" => {
            format!("{name} takes no new tenants; `terrace cluster balance` suggests where to move those that it has")
        }
        _ => format!("{name} takes tenants again"),
    })
}

fn say(output: Output, answer: &Value, sentence: impl FnOnce(&str) -> String) -> Result<(), Failure> {
    if output.json {
        return output.json(answer);
    }
    output.line(&sentence(answer["name"].as_str().unwrap_or_default()))
}

fn balance(api: &Api, output: Output, apply: bool) -> Result<(), Failure> {
    let answer = api.get(&format!("{PATH}/balance"))?;
    let moves = Vec::<Suggestion>::deserialize(&answer["items"])?;
    if apply {
        for suggestion in &moves {
            operations::relocate(api, output, &suggestion.slug, Some(&suggestion.to), None)?;
        }
        return if moves.is_empty() {
            output.line("The shares are even; nothing was moved.")
        } else {
            Ok(())
        };
    }
    if output.json {
        return output.json(&answer);
    }
    let mut table = Table::new(&["tenant", "from", "to"]);
    for Suggestion { slug, from, to } in moves {
        table.row([slug, from, to]);
    }
    output.table(&table, "The shares are even; there is nothing to move.")
}

//! `terrace site`: list, deploy.

use jiff::Timestamp;
use serde::Deserialize;

use super::deploy;
use crate::{
    api::Api,
    arguments::{Deploy, Site},
    bundle::Kind,
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::Table,
};

#[derive(Deserialize)]
struct Shown {
    name: String,
    title: String,
    current: Option<Build>,
    builds: Vec<Build>,
}

#[derive(Deserialize)]
struct Build {
    id: String,
    files: u64,
    size_bytes: u64,
    created_at: String,
}

pub(crate) fn run(api: &Api, output: Output, command: Site) -> Result<(), Failure> {
    match command {
        Site::List => list(api, output),
        Site::Deploy(folder) => deploy::run(api, output, &Deploy::of_site(folder.folder), Some(Kind::Site)),
    }
}

fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let answer = progress::waiting("Asking for sites", || api.list("/api/control/sites"))?;
    if output.json {
        return output.json(&answer);
    }
    let mut table = Table::new(&["name", "title", "build", ">files", ">size", "deployed", ">builds"]);
    let now = Timestamp::now();
    for site in Vec::<Shown>::deserialize(&answer["items"])? {
        let dash = || "-".to_owned();
        let [id, files, size, deployed] = match site.current {
            Some(build) => [
                build.id,
                build.files.to_string(),
                figures::size(build.size_bytes),
                figures::ago(&build.created_at, now),
            ],
            None => [dash(), dash(), dash(), dash()],
        };
        table.row([
            site.name,
            site.title,
            id,
            files,
            size,
            deployed,
            site.builds.len().to_string(),
        ]);
    }
    output.table(
        &table,
        "No sites yet. Deploy one: terrace deploy target/terrace/sites/tasks",
    )
}

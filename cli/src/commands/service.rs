//! `terrace service`: list, show, deploy, activate.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{deploy, segment};
use crate::{
    api::Api,
    arguments::Service,
    bundle::Kind,
    failure::{Failure, Problem},
    figures,
    output::Output,
    progress,
    table::{Table, tame},
};

pub(super) const PATH: &str = "/api/control/services";

#[derive(Deserialize)]
struct Shown {
    name: String,
    title: String,
    current: Option<Release>,
    canary: Option<Canary>,
    releases: Vec<Release>,
    history: Vec<Event>,
}

#[derive(Deserialize)]
struct Canary {
    release: String,
    share_percent: Option<f64>,
    tenants: u64,
    since: String,
}

#[derive(Deserialize)]
struct Event {
    release: String,
    happened: String,
    detail: String,
    by: String,
    at: String,
}

#[derive(Deserialize)]
struct Release {
    id: String,
    state: String,
    size_bytes: u64,
    sha256: String,
    capabilities: Vec<String>,
    uploaded_by: String,
    error: Option<String>,
    created_at: String,
}

pub(crate) fn run(api: &Api, output: Output, command: Service) -> Result<(), Failure> {
    match command {
        Service::List => list(api, output),
        Service::Show { service } => show(api, output, &service),
        Service::Deploy(options) => deploy::run(api, output, &options, Some(Kind::Service)),
        Service::Activate { service, release } => activate(api, output, &service, &release),
    }
}

fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let answer = progress::waiting("Asking for services", || api.list(PATH))?;
    if output.json {
        return output.json(&answer);
    }
    let mut table = Table::new(&[
        "name",
        "title",
        "release",
        ">size",
        "capabilities",
        "deployed",
        ">releases",
    ]);
    let now = Timestamp::now();
    for service in Vec::<Shown>::deserialize(&answer["items"])? {
        let releases = service.releases.len().to_string();
        let dash = || "-".to_owned();
        let [id, size, capabilities, deployed] = match service.current {
            Some(release) => [
                release.id,
                figures::size(release.size_bytes),
                release.capabilities.join(" "),
                figures::ago(&release.created_at, now),
            ],
            None => [dash(), dash(), dash(), dash()],
        };
        table.row([service.name, service.title, id, size, capabilities, deployed, releases]);
    }
    output.table(
        &table,
        "No services yet. Deploy one: terrace deploy target/terrace/services/tasks",
    )
}

fn show(api: &Api, output: Output, name: &str) -> Result<(), Failure> {
    let answer = find(api.list(PATH)?, name)?;
    if output.json {
        return output.json(&answer);
    }
    print(output, &Shown::deserialize(&answer)?)
}

/// The API lists services with all that is known about them, so there is no request for one.
fn find(list: Value, name: &str) -> Result<Value, Failure> {
    let Some(Value::Array(items)) = list.get("items").cloned() else {
        return Err(missing(name));
    };
    items
        .into_iter()
        .find(|item| item["name"] == name)
        .ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Failure {
    let detail = Some(format!("There is no service `{name}`."));
    Problem {
        status: 404,
        code: "not-found".to_owned(),
        detail,
        ..Problem::default()
    }
    .into()
}

fn activate(api: &Api, output: Output, service: &str, release: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/activate", segment(service));
    let answer = progress::waiting("Switching", || api.post(&path, &json!({ "release": release })))?.body;
    if output.json {
        output.json(&answer)
    } else {
        output.line(&format!("Requests to {service} now go to {release}"))
    }
}

fn print(output: Output, service: &Shown) -> Result<(), Failure> {
    output.line(&format!("{} ({})\n", tame(&service.title), service.name))?;
    let mut table = Table::new(&["release", "state", ">size", "sha256", "capabilities", "deployed", "by"]);
    let now = Timestamp::now();
    for release in &service.releases {
        table.row([
            release.id.clone(),
            release.state.clone(),
            figures::size(release.size_bytes),
            release.sha256.chars().take(12).collect(),
            release.capabilities.join(" "),
            figures::ago(&release.created_at, now),
            release.uploaded_by.clone(),
        ]);
    }
    output.table(&table, "It has no release yet.")?;
    if let Some(canary) = &service.canary {
        let share = canary
            .share_percent
            .map_or_else(String::new, |share| format!(" ({share} %)"));
        output.line(&format!(
            "\n{} is a canary for {} tenants{share}, since {}",
            canary.release,
            canary.tenants,
            figures::ago(&canary.since, now)
        ))?;
    }
    for release in &service.releases {
        if let Some(error) = &release.error {
            output.line(&format!("\n{} failed: {}", release.id, tame(error)))?;
        }
    }
    if service.history.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let mut table = Table::new(&["when", "what", "release", "by", "more"]);
    for event in &service.history {
        table.row([
            figures::ago(&event.at, now),
            event.happened.clone(),
            event.release.clone(),
            event.by.clone(),
            event.detail.clone(),
        ]);
    }
    output.table(&table, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_listed_is_not_found() {
        let list = json!({ "items": [{ "name": "tasks" }] });
        assert_eq!(find(list.clone(), "tasks").unwrap()["name"], "tasks");
        assert_eq!(find(list, "billing").unwrap_err().exit_code(), 3);
    }
}

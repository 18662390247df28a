//! `terrace release` and `terrace rollback`: what becomes of a release after its deploy.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{segment, service::PATH};
use crate::{
    api::Api, arguments::Release, changes::Changes, failure::Failure, figures, output::Output, progress, table::tame,
};

pub(crate) fn run(api: &Api, output: Output, command: Release) -> Result<(), Failure> {
    match command {
        Release::Show { service, release } => show(api, output, &service, &release),
        Release::Promote { service } => canary(api, output, &service, "promote"),
        Release::Abort { service } => canary(api, output, &service, "abort"),
    }
}

#[derive(Deserialize)]
struct Served {
    current: Option<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// Goes back to the release before, or to the one that is named.
pub(crate) fn rollback(api: &Api, output: Output, service: &str, to: Option<&str>, force: bool) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/rollback", segment(service));
    let body = match to {
        Some(release) => json!({ "release": release, "force": force }),
        None => json!({ "force": force }),
    };
    let answer = progress::waiting("Going back", || api.post(&path, &body))?.body;
    if output.json {
        return output.json(&answer);
    }
    let current = Served::deserialize(&answer)?.current;
    let current = current.map_or_else(|| "nothing".to_owned(), |release| release.id);
    output.line(&format!("Requests to {service} go to {current} again"))
}

fn canary(api: &Api, output: Output, service: &str, verb: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/canary/{verb}", segment(service));
    let message = if verb == "promote" {
        "Migrating and switching"
    } else {
        "Going back"
    };
    let answer = progress::waiting(message, || api.post(&path, &json!({})))?.body;
    if output.json {
        return output.json(&answer);
    }
    let current = Served::deserialize(&answer)?.current;
    let current = current.map_or_else(|| "nothing".to_owned(), |release| release.id);
    output.line(&format!("Every tenant's requests to {service} go to {current} now"))
}

#[derive(Deserialize)]
struct Facts {
    release: Head,
    component_sha256: Option<String>,
    contract_sha256: String,
    imports: Vec<String>,
    limits: serde_json::Map<String, serde_json::Value>,
    migrations: Vec<String>,
    diff: Changes,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    state: String,
    size_bytes: u64,
    sha256: String,
    capabilities: Vec<String>,
    uploaded_by: String,
    error: Option<String>,
    created_at: String,
}

fn show(api: &Api, output: Output, service: &str, release: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/releases/{}", segment(service), segment(release));
    let answer = progress::waiting("Asking", || api.get(&path))?;
    if output.json {
        return output.json(&answer);
    }
    let facts = Facts::deserialize(&answer)?;
    output.text(&sheet(&facts, output, Timestamp::now()))?;
    if facts.diff.same {
        return Ok(());
    }
    output.text(&format!("\n{}", facts.diff.page(service, output.style)))
}

fn sheet(facts: &Facts, output: Output, now: Timestamp) -> String {
    let head = &facts.release;
    let limits = facts.limits.iter().map(|(name, value)| format!("{name} {value}"));
    let mut rows = vec![
        ("Release", head.id.clone()),
        ("State", head.state.clone()),
        (
            "Uploaded",
            format!(
                "{} by {} ({})",
                figures::ago(&head.created_at, now),
                head.uploaded_by,
                head.created_at
            ),
        ),
        ("Size", figures::size(head.size_bytes)),
        ("Bundle", head.sha256.clone()),
        (
            "Component",
            facts.component_sha256.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
        ("Contract", facts.contract_sha256.clone()),
        ("Grants", head.capabilities.join(", ")),
        ("Imports", facts.imports.join(", ")),
        ("Limits", limits.collect::<Vec<_>>().join(", ")),
        ("Schema", facts.migrations.join(", ")),
    ];
    if let Some(error) = &head.error {
        rows.insert(2, ("Error", error.clone()));
    }
    rows.into_iter()
        .map(|(name, value)| format!("{}{}\n", output.style.dim(&format!("{name:<10}")), tame(&value)))
        .collect()
}

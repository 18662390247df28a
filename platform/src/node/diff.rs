//! What a release asks for and changes, against the one that is served.

use std::collections::{BTreeMap, BTreeSet};

use terrace_contracts_openapi::Contract;
use terrace_control::{Asked, ContractChange, NewMigrationStep, ReleaseDiff, SettingChange};
use terrace_data_migrate::{File, Migrations};
use terrace_data_tenancy::ReleaseFacts;
use terrace_ground_ids::ServiceName;

use super::manifest::Manifest;

/// One side: what a bundle says.
pub(crate) struct Side<'a> {
    pub(crate) manifest: &'a str,
    pub(crate) contract: &'a str,
    pub(crate) migrations: &'a [File],
}

impl<'a> Side<'a> {
    pub(crate) fn of(facts: &'a ReleaseFacts) -> Self {
        Self {
            manifest: &facts.manifest,
            contract: &facts.contract,
            migrations: &facts.migrations,
        }
    }
}

/// The differences between what is served, if anything is, and `new`.
///
/// # Errors
/// A sentence: one of them cannot be read.
pub(crate) fn diff(service: &ServiceName, old: Option<&ReleaseFacts>, new: &Side<'_>) -> Result<ReleaseDiff, String> {
    let was = old.map(|old| said(&old.manifest)).transpose()?.unwrap_or_default();
    let is = said(new.manifest)?;
    let migrations = Migrations::read(service, new.migrations).map_err(|error| error.to_string())?;
    let head = match old {
        Some(old) => u32::try_from(old.migrations.len()).unwrap_or(u32::MAX),
        None => 0,
    };
    let contract = match old {
        Some(old) => contract_changes(&old.contract, new.contract)?,
        None => Vec::new(),
    };
    let settings = was.settings.keys().chain(is.settings.keys()).collect::<BTreeSet<_>>();
    let changed = settings
        .into_iter()
        .filter(|name| was.settings.get(*name) != is.settings.get(*name));
    Ok(ReleaseDiff {
        against: old.map(|old| old.release.id.clone()),
        same: false,
        breaking: contract.iter().any(|change| change.breaking),
        asks: is.asks.difference(&was.asks).cloned().collect(),
        drops: was.asks.difference(&is.asks).cloned().collect(),
        settings: match old {
            Some(_) => changed
                .map(|name| SettingChange {
                    name: name.clone(),
                    before: was.settings.get(name).cloned(),
                    after: is.settings.get(name).cloned(),
                })
                .collect(),
            None => Vec::new(),
        },
        migrations: steps(&migrations, head),
        contract,
    })
}

fn steps(migrations: &Migrations, head: u32) -> Vec<NewMigrationStep> {
    let (taken, waits) = (migrations.contractions(head), migrations.blocking(head));
    let of = |sentences: &[String], name: &str| -> Vec<String> {
        let name = format!("{name} ");
        let ours = sentences.iter().filter_map(|sentence| sentence.strip_prefix(&name));
        ours.map(str::to_owned).collect()
    };
    let new = migrations.list().iter().filter(|migration| migration.number > head);
    new.map(|migration| NewMigrationStep {
        name: migration.name.clone(),
        takes_away: of(&taken, &migration.name),
        makes_wait: of(&waits, &migration.name),
    })
    .collect()
}

fn contract_changes(old: &str, new: &str) -> Result<Vec<ContractChange>, String> {
    let parse = |text: &str| Contract::parse(text.as_bytes()).map_err(|error| error.to_string());
    let changes = terrace_contracts_diff::diff(&parse(old)?, &parse(new)?);
    Ok(changes
        .into_iter()
        .map(|change| ContractChange {
            breaking: change.breaking,
            place: change.place,
            detail: change.detail,
        })
        .collect())
}

/// What a manifest says: whatever is a list is asked for, and so is each credential; whatever is a
/// single value is a setting. So a key that is new in the manifest is in the diff without anybody's
/// doing.
#[derive(Default)]
struct Said {
    asks: BTreeSet<Asked>,
    settings: BTreeMap<String, String>,
}

fn said(text: &str) -> Result<Said, String> {
    let manifest = Manifest::parse(text)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut said = Said::default();
    for (key, value) in &table {
        // Names for people, and for the address; and the texts that a sealed release sends, which reach no
        // further than its own schema.
        if !["name", "title", "statements"].contains(&key.as_str()) {
            flatten(key, value, &mut said);
        }
    }
    // With the defaults, which may differ between two versions of the platform.
    if let Ok(serde_json::Value::String(isolation)) = serde_json::to_value(manifest.isolation) {
        said.settings.insert("isolation".to_owned(), isolation);
    }
    let limits = serde_json::to_value(manifest.limits).unwrap_or_default();
    for (name, value) in limits.as_object().into_iter().flatten() {
        said.settings.insert(format!("limits.{name}"), value.to_string());
    }
    Ok(said)
}

fn flatten(key: &str, value: &toml::Value, said: &mut Said) {
    match value {
        toml::Value::Table(table) if key == "http.credentials" => {
            for (host, credential) in table {
                let secret = credential.get("secret").and_then(toml::Value::as_str).unwrap_or("?");
                said.asks.insert(Asked {
                    kind: "credential".to_owned(),
                    name: format!("{secret} for {host}"),
                });
            }
        }
        toml::Value::Table(table) => {
            for (inner, value) in table {
                flatten(&format!("{key}.{inner}"), value, said);
            }
        }
        toml::Value::Array(items) => {
            let kind = match key {
                "capabilities" => "capability",
                "calls" => "call",
                "consumes" => "event",
                "hooks" => "hook",
                "http.allow" => "http",
                "secrets" => "secret",
                "config" => "value",
                other => other,
            };
            for item in items {
                let name = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                said.asks.insert(Asked {
                    kind: kind.to_owned(),
                    name,
                });
            }
        }
        single => {
            let shown = single.as_str().map_or_else(|| single.to_string(), str::to_owned);
            said.settings.insert(key.to_owned(), shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_for_and_single_values_are_settings() {
        let one = said("name = \"tasks\"\ncapabilities = [\"sql\"]\nconsumes = [\"billing.paid\"]\n").unwrap();
        let two = said(
            "name = \"tasks\"\ntitle = \"Tasks\"\nisolation = \"request\"\ncapabilities = [\"sql\", \"events\"]\n[limits]\ncpu_ms = 100\n",
        )
        .unwrap();
        let asked = |from: &Said, to: &Said| -> Vec<String> {
            let new = to.asks.difference(&from.asks);
            new.map(|ask| format!("{} {}", ask.kind, ask.name)).collect()
        };
        assert_eq!(asked(&one, &two), ["capability events"]);
        assert_eq!(asked(&two, &one), ["event billing.paid"]);
        assert_eq!(one.settings["limits.cpu_ms"], "200");
        assert_eq!(two.settings["limits.cpu_ms"], "100");
        assert_eq!(one.settings["isolation"], "tenant");
        assert_eq!(two.settings["isolation"], "request");
        assert!(!two.settings.contains_key("title"));
    }

    #[test]
    fn a_new_host_and_a_new_credential_are_asked_for_by_name() {
        let head = "name = \"tasks\"\ncapabilities = [\"http\", \"secrets\"]\n";
        let one = said(head).unwrap();
        let two = said(&format!(
            "{head}secrets = [\"salt\"]\n[http]\nallow = [\"api.example.com\"]\nrequests = 3\n[http.credentials]\n\"api.example.com\" = {{ header = \"authorization\", secret = \"api-key\" }}\n"
        ))
        .unwrap();
        let new: Vec<String> = two
            .asks
            .difference(&one.asks)
            .map(|ask| format!("{} {}", ask.kind, ask.name))
            .collect();
        assert_eq!(
            new,
            [
                "credential api-key for api.example.com",
                "http api.example.com",
                "secret salt"
            ]
        );
        assert_eq!(two.settings["http.requests"], "3");
    }
}

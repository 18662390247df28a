//! `terrace secret` and `terrace config`: set, list, delete. The value of a secret comes from standard
//! input, never from an argument, and goes to no output.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, anyhow};
use console::Term;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::segment;
use crate::{
    api::Api,
    arguments::{Secret, SettingName, Values},
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::{Table, tame},
};

/// Longest value that the platform keeps, and one more, so that a longer one is refused and not cut.
const VALUE_MAX: u64 = 8_193;

#[derive(Clone, Copy)]
enum Kind {
    Secret,
    Config,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

#[derive(Deserialize)]
struct Shown {
    name: String,
    tenant: Option<String>,
    value: Option<String>,
    updated_at: String,
}

pub(crate) fn secret(api: &Api, output: Output, command: Secret) -> Result<(), Failure> {
    match command {
        Secret::Set(setting) => {
            let value = if io::stdin().is_terminal() {
                let terminal = Term::stderr();
                terminal.write_str(&format!("Value of {}: ", tame(&setting.name)))?;
                terminal.read_secure_line()?
            } else {
                standard_input(io::stdin().lock())?
            };
            set(api, output, Kind::Secret, &setting, &value)
        }
        Secret::List { service } => list(api, output, Kind::Secret, &service),
        Secret::Delete(setting) => delete(api, output, Kind::Secret, &setting),
    }
}

pub(crate) fn config(api: &Api, output: Output, command: Values) -> Result<(), Failure> {
    match command {
        Values::Set { setting, value } => {
            let value = if value == "-" {
                standard_input(io::stdin().lock())?
            } else {
                value
            };
            set(api, output, Kind::Config, &setting, &value)
        }
        Values::List { service } => list(api, output, Kind::Config, &service),
        Values::Delete(setting) => delete(api, output, Kind::Config, &setting),
    }
}

/// All of it, without the line feed that `echo` and editors put at the end.
fn standard_input(from: impl io::Read) -> Result<String, Failure> {
    let mut value = String::new();
    from.take(VALUE_MAX + 2)
        .read_to_string(&mut value)
        .context("read the value from standard input")?;
    let value = value
        .strip_suffix('\n')
        .map(|rest| rest.strip_suffix('\r').unwrap_or(rest))
        .unwrap_or(&value);
    if value.is_empty() {
        return Err(anyhow!("standard input is empty; to remove what is set, use `delete`").into());
    }
    Ok(value.to_owned())
}

fn path(setting: &SettingName) -> String {
    format!("{}/{}", folder(&setting.service), segment(&setting.name))
}

fn folder(service: &str) -> String {
    format!("/api/control/services/{}/settings", segment(service))
}

fn set(api: &Api, output: Output, kind: Kind, setting: &SettingName, value: &str) -> Result<(), Failure> {
    let mut body = json!({ "kind": kind.word(), "value": value });
    if let Some(tenant) = &setting.tenant {
        body["tenant"] = tenant.as_str().into();
    }
    progress::waiting("Setting it", || api.put(&path(setting), &body))?;
    done(output, "Set", kind, setting)
}

fn delete(api: &Api, output: Output, kind: Kind, setting: &SettingName) -> Result<(), Failure> {
    let tenant = setting
        .tenant
        .as_ref()
        .map(|tenant| format!("&tenant={}", segment(tenant)));
    let query = format!("?kind={}{}", kind.word(), tenant.unwrap_or_default());
    progress::waiting("Deleting it", || api.delete(&format!("{}{query}", path(setting))))?;
    done(output, "Deleted", kind, setting)
}

fn done(output: Output, what: &str, kind: Kind, setting: &SettingName) -> Result<(), Failure> {
    let SettingName { service, name, tenant } = setting;
    if output.json {
        let key = what.to_lowercase();
        return output.json(&json!({ key: name, "kind": kind.word(), "service": service, "tenant": tenant }));
    }
    let whose = tenant
        .as_ref()
        .map(|tenant| format!(" for {}", tame(tenant)))
        .unwrap_or_default();
    output.line(&format!(
        "{what} the {} {} of {}{whose}",
        kind.word(),
        tame(name),
        tame(service)
    ))
}

fn list(api: &Api, output: Output, kind: Kind, service: &str) -> Result<(), Failure> {
    let path = format!("{}?kind={}", folder(service), kind.word());
    let answer: Value = progress::waiting("Asking for settings", || api.list(&path))?;
    if output.json {
        return output.json(&answer);
    }
    let now = Timestamp::now();
    let settings = Vec::<Shown>::deserialize(&answer["items"])?;
    let word = kind.word();
    let nothing = format!(
        "Nothing is set. Set something: terrace {word} set {} NAME",
        tame(service)
    );
    let mut table = match kind {
        Kind::Secret => Table::new(&["name", "tenant", "set"]),
        Kind::Config => Table::new(&["name", "tenant", "value", "set"]),
    };
    for setting in settings {
        let tenant = setting.tenant.unwrap_or_else(|| "all".to_owned());
        let set = figures::ago(&setting.updated_at, now);
        match kind {
            Kind::Secret => table.row([setting.name, tenant, set]),
            Kind::Config => table.row([setting.name, tenant, setting.value.unwrap_or_default(), set]),
        };
    }
    output.table(&table, &nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_all_but_the_line_feed_of_its_end() {
        assert_eq!(standard_input(&b"sk live\n1\n"[..]).unwrap(), "sk live\n1");
        assert_eq!(standard_input(&b"sk\r\n"[..]).unwrap(), "sk");
        assert_eq!(standard_input(&b" sk "[..]).unwrap(), " sk ");
        for nothing in [&b""[..], b"\n"] {
            assert!(standard_input(nothing).is_err());
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_sent_too_long_and_not_cut_to_what_fits() {
        let long = vec![b'x'; 10_000];
        assert!(standard_input(&long[..]).unwrap().len() as u64 >= VALUE_MAX);
    }
}

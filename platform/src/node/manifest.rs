//! `service.toml`: what a service asks for.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use terrace_capabilities_config as config;
use terrace_capabilities_http::Rules;
use terrace_capabilities_keyvalue::Stores;
use terrace_capabilities_secrets as secrets;
use terrace_compute_engine::{Isolation, Limits, ReleaseSpec, Shared};
use terrace_events_outbox::check_name;
use terrace_events_schedule::{Cron, CronError, Recurring};
use terrace_ground_ids::{ReleaseId, ServiceName};

/// A service's manifest. Every key but `name` has a default; an unknown one is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// `tasks`
    pub(crate) name: ServiceName,
    /// The name that people see.
    #[serde(default)]
    pub(crate) title: String,
    /// The capabilities that it is granted: `sql`, `events`, ...
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    /// Whether an instance serves more than one request of a tenant.
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// The services that it calls.
    #[serde(default)]
    pub(crate) calls: Vec<ServiceName>,
    /// The events that it consumes: `billing.entitlement-changed`.
    #[serde(default)]
    pub(crate) consumes: Vec<String>,
    /// The moments of a tenant's life at which it is called.
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
    /// Whether a statement that is not on the list of the release is refused.
    #[serde(default)]
    pub(crate) sealed_sql: bool,
    /// That list. It comes from `statements.sql`, which the service's own tests record; a deploy puts
    /// it here.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
    /// What one request may use.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// The hosts that it may reach, and the secrets that are set into what it sends there.
    #[serde(default)]
    pub(crate) http: Rules,
    /// The secrets that it may read.
    #[serde(default)]
    pub(crate) secrets: secrets::Names,
    /// The plain values that it may read.
    #[serde(default)]
    pub(crate) config: config::Names,
    /// The stores that it may open by `wasi:keyvalue`.
    #[serde(default)]
    pub(crate) keyvalue: Stores,
    /// What is done again and again, for each tenant.
    #[serde(default)]
    pub(crate) schedule: Vec<Line>,
}

/// A `[[schedule]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// Five fields, in UTC: `0 3 * * *`.
    pub(crate) cron: String,
    /// What is to be done: `report.send`.
    pub(crate) job: String,
}

/// Lines of `[[schedule]]` in one manifest.
const LINES_MAX: usize = 16;

/// Names of secrets, of plain values, or of stores, that a manifest may list.
const NAMES_MAX: usize = 256;

/// A moment of a tenant's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hook {
    /// Its schemas are there, and nobody has used it yet.
    TenantCreated,
    /// An operator changed what it pays for.
    PlanChanged,
}

impl Manifest {
    /// Reads the text of a `service.toml`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut manifest: Self = terrace_ground_config::parse(text)?;
        if manifest.title.is_empty() {
            manifest.title = manifest.name.to_string();
        }
        let sections = [
            ("[http]", "http", manifest.http.is_empty()),
            ("secrets", "secrets", manifest.secrets.0.is_empty()),
            ("config", "config", manifest.config.0.is_empty()),
            ("keyvalue", "keyvalue", manifest.keyvalue.0.is_empty()),
            ("[[schedule]]", "schedule", manifest.schedule.is_empty()),
        ];
        for (section, capability, is_empty) in sections {
            if !is_empty && !manifest.capabilities.iter().any(|listed| listed == capability) {
                return Err(format!(
                    "`{section}` says what \"{capability}\" grants, and capabilities does not list it: add \"{capability}\""
                ));
            }
        }
        let lists = [
            ("secrets", &manifest.secrets.0),
            ("config", &manifest.config.0),
            ("keyvalue", &manifest.keyvalue.0),
        ];
        for (section, names) in lists {
            if names.len() > NAMES_MAX {
                return Err(format!(
                    "`{section}` lists {} names; at most {NAMES_MAX} are possible",
                    names.len()
                ));
            }
        }
        manifest.recurring()?;
        Ok(manifest)
    }

    /// Its lines of `[[schedule]]`.
    pub(crate) fn recurring(&self) -> Result<Vec<Recurring>, String> {
        if self.schedule.len() > LINES_MAX {
            return Err(format!(
                "there are {} `[[schedule]]`; at most {LINES_MAX} are possible",
                self.schedule.len()
            ));
        }
        let mut known = HashSet::new();
        let line = |line: &Line| {
            let wrong = |message: String| format!("`[[schedule]]`: {message}");
            check_name(&line.job).map_err(|error| wrong(error.to_string()))?;
            let cron: Cron = line.cron.parse().map_err(|error: CronError| wrong(error.to_string()))?;
            Ok(Recurring {
                service: self.name.clone(),
                name: line.job.clone(),
                cron,
            })
        };
        let lines: Vec<Recurring> = self.schedule.iter().map(line).collect::<Result<_, String>>()?;
        for line in &lines {
            if !known.insert(line.name.clone()) {
                return Err(format!("`[[schedule]]`: `{}` is there twice", line.name));
            }
        }
        Ok(lines)
    }

    /// What the engine needs to load a release with this manifest.
    pub(crate) fn spec(&self, id: ReleaseId, component: Bytes) -> ReleaseSpec {
        let mut grants = Shared::default();
        grants.insert(Arc::new(self.http.clone()));
        grants.insert(Arc::new(self.secrets.clone()));
        grants.insert(Arc::new(self.config.clone()));
        grants.insert(Arc::new(self.keyvalue.clone()));
        ReleaseSpec {
            id,
            service: self.name.clone(),
            component,
            capabilities: self.capabilities.clone(),
            isolation: self.isolation,
            limits: self.limits,
            calls: self.calls.clone(),
            grants,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_a_name_alone_has_bounds_for_everything() {
        let manifest = Manifest::parse("name = \"tasks\"").unwrap();
        assert_eq!(manifest.limits, Limits::default());
        assert_eq!(manifest.isolation, Isolation::Tenant);
        assert!(manifest.capabilities.is_empty());
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_suggests_the_right_one() {
        let error = Manifest::parse("name = \"tasks\"\ncapabilites = [\"sql\"]\n").unwrap_err();
        assert_eq!(error, "line 2: unknown key `capabilites`; did you mean `capabilities`?");
    }

    #[test]
    fn what_a_section_grants_needs_its_capability() {
        let text = "name = \"tasks\"\ncapabilities = [\"http\"]\nsecrets = [\"stripe-key\"]\n";
        let error = Manifest::parse(text).unwrap_err();
        assert!(error.contains("add \"secrets\""), "{error}");
        let text = "name = \"tasks\"\n[http]\nallow = [\"api.example.com\"]\n";
        assert!(Manifest::parse(text).unwrap_err().contains("add \"http\""));
    }

    #[test]
    fn a_schedule_that_nobody_could_keep_is_an_error() {
        let parse = |lines: &str| {
            let text = format!("name = \"tasks\"\ncapabilities = [\"schedule\"]\n{lines}");
            Manifest::parse(&text).map(|manifest| manifest.recurring().unwrap().len())
        };
        let line = |cron: &str, job: &str| format!("[[schedule]]\ncron = \"{cron}\"\njob = \"{job}\"\n");
        assert_eq!(parse(&line("0 3 * * *", "report.send")), Ok(1));
        for (lines, says) in [
            (line("0 3 * *", "a"), "five fields"),
            (line("0 0 30 2 *", "a"), "no such day"),
            (line("0 3 * * *", "Not a name"), "is not a job's name"),
            (line("0 3 * * *", "a").repeat(2), "`a` is there twice"),
            (
                (0..17).map(|number| line("0 3 * * *", &format!("a{number}"))).collect(),
                "at most 16",
            ),
            ("[[schedule]]\ncron = \"0 3 * * *\"\n".to_owned(), "missing field `job`"),
        ] {
            let error = parse(&lines).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
        let text = format!("name = \"tasks\"\n{}", line("0 3 * * *", "a"));
        assert!(Manifest::parse(&text).unwrap_err().contains("add \"schedule\""));
    }

    #[test]
    fn a_bad_host_is_an_error_that_names_its_line() {
        let text = "name = \"tasks\"\ncapabilities = [\"http\"]\n\n[http]\nallow = [\"https://api.example.com/v1\"]\n";
        let error = Manifest::parse(text).unwrap_err();
        assert!(
            error.starts_with("line 5: `https://api.example.com/v1`: a path cannot be allowed"),
            "{error}"
        );
        let text = "name = \"tasks\"\ncapabilities = [\"http\"]\n[http]\nalow = []\n";
        assert_eq!(
            Manifest::parse(text).unwrap_err(),
            "line 4: unknown key `alow`; did you mean `allow`?"
        );
    }
}

//! `terrace tenant suspend`, `resume`, `plan`, `rename`, `operations`, `finish`: what is done to tenants.

use std::{thread, time::Duration};

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    segment,
    tenant::{PATH, Shown},
};
use crate::{
    api::Api,
    arguments::RenameTenant,
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::{Table, tame},
};

/// An operation, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Operation {
    id: i64,
    tenant: String,
    slug: Option<String>,
    kind: String,
    pub(super) state: String,
    steps: Vec<Step>,
    remaining: Vec<String>,
    actor: Option<String>,
    pub(super) error: Option<String>,
    pub(super) attempts: u32,
    started_at: String,
    pub(super) evidence: Value,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    step: String,
}

impl Operation {
    /// How far it is: `loaded (4 of 9)`.
    pub(super) fn progress(&self) -> String {
        let last = self.steps.last().map_or("asked for", |done| done.step.as_str());
        if self.state != "running" {
            return last.to_owned();
        }
        let all = self.steps.len() + self.remaining.len();
        format!("{last} ({} of {all})", self.steps.len())
    }

    /// What is being done, in words.
    pub(super) fn sentence(&self) -> String {
        let who = self.actor.as_deref().unwrap_or("the platform");
        let mut sentence = format!("{} by {who}: {}", self.kind, self.progress());
        if !self.remaining.is_empty() {
            sentence.push_str(&format!("; next: {}", self.remaining.join(", ")));
        }
        if let Some(error) = &self.error {
            sentence.push_str(&format!(
                "; failed {} times, the last: {error}; it is tried again by itself, or now: terrace tenant finish {}",
                self.attempts, self.tenant
            ));
        }
        sentence
    }
}

pub(super) fn suspend(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/suspend", segment(tenant));
    let answer = progress::waiting("Waiting for what runs in the tenant", || api.act(&path))?;
    say(output, &answer, |tenant| {
        format!(
            "Suspended {}; bring it back: terrace tenant resume {}",
            tenant.slug, tenant.slug
        )
    })
}

pub(super) fn resume(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/resume", segment(tenant));
    let answer = progress::waiting("Resuming the tenant", || api.act(&path))?;
    say(output, &answer, |tenant| {
        format!("{} is served again at {}", tenant.slug, tenant.host)
    })
}

pub(super) fn plan(api: &Api, output: Output, tenant: &str, plan: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/plan", segment(tenant));
    let answer = progress::waiting("Telling the services", || api.post(&path, &json!({ "plan": plan })))?;
    say(output, &answer.body, |tenant| {
        format!("{} is on the plan {}", tenant.slug, tenant.plan)
    })
}

pub(super) fn rename(api: &Api, output: Output, options: RenameTenant) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/rename", segment(&options.tenant.tenant));
    let mut body = json!({ "release_old_slug": options.release_old_slug });
    for (key, value) in [("slug", options.slug), ("name", options.name)] {
        if let Some(value) = value {
            body[key] = value.into();
        }
    }
    let answer = progress::waiting("Renaming the tenant", || api.post(&path, &body))?;
    say(output, &answer.body, |tenant| {
        format!("It is {} ({}) now, at {}", tame(&tenant.name), tenant.slug, tenant.host)
    })
}

/// Gives up the move of a tenant.
pub(super) fn stay(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/cancel-move", segment(tenant));
    let answer = progress::waiting("Giving up the move", || api.act(&path))?;
    say(output, &answer, |tenant| format!("{} stays where it is", tenant.slug))
}

/// Moves a tenant.
pub(super) fn relocate(
    api: &Api,
    output: Output,
    tenant: &str,
    to: Option<&str>,
    lane: Option<&str>,
) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/move", segment(tenant));
    let body = json!({ "cluster": to, "lane": lane });
    let begun = progress::waiting("Choosing a place", || api.post(&path, &body))?;
    let moving = Shown::deserialize(&begun.body)?;
    let pause = follow_move(api, &moving.id)?;
    let answer = api.get(&format!("{PATH}/{}", segment(&moving.id)))?;
    say(output, &answer, |tenant| match (to, pause) {
        (Some(to), Some(pause)) => format!(
            "{} lives on {to} now; its requests waited for {pause:.1} ms",
            tenant.slug
        ),
        (Some(to), None) => format!("{} lives on {to} already", tenant.slug),
        (None, _) if lane == Some("own") => format!("{} has a lane of its own", tenant.slug),
        (None, _) => format!("{} shares a lane", tenant.slug),
    })
}

/// Waits until the newest move of a tenant is done; for how long its requests waited.
fn follow_move(api: &Api, tenant: &str) -> Result<Option<f64>, Failure> {
    let mut spinner = progress::Steps::new("Moving");
    loop {
        let newest = match newest(api, tenant) {
            // A node that is restarted goes on with it.
            Err(failure) if failure.exit_code() == 5 => None,
            outcome => outcome?,
        };
        if let Some(operation) = newest.filter(|operation| operation.kind == "move") {
            match operation.state.as_str() {
                "done" => return Ok(operation.evidence["pause_ms"].as_f64()),
                "running" => {}
                _ => return Err(anyhow!("the move was given up; the tenant is served where it was").into()),
            }
            if let (Some(error), true) = (&operation.error, operation.attempts >= 2) {
                return Err(anyhow!(
                    "not yet: {error}\n  next: it is tried again by itself; `terrace tenant show {tenant}` tells how it stands, `terrace tenant move {tenant} --cancel` gives it up"
                )
                .into());
            }
            spinner.at(&operation.progress());
        } else {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(250));
    }
}

pub(super) fn list(api: &Api, output: Output, tenant: Option<&str>) -> Result<(), Failure> {
    let path = match tenant {
        Some(tenant) => format!("{PATH}/{}/operations", segment(tenant)),
        None => "/api/control/operations".to_owned(),
    };
    let answer = progress::waiting("Asking for operations", || api.get(&path))?;
    show(output, &answer)
}

pub(super) fn finish(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/finish", segment(tenant));
    let answer = progress::waiting("Finishing what was begun", || api.act(&path))?;
    show(output, &answer)
}

/// The newest operation of a tenant.
pub(super) fn newest(api: &Api, tenant: &str) -> Result<Option<Operation>, Failure> {
    let answer = api.get(&format!("{PATH}/{}/operations", segment(tenant)))?;
    let operations = Vec::<Operation>::deserialize(&answer["items"])?;
    Ok(operations.into_iter().next())
}

fn show(output: Output, answer: &Value) -> Result<(), Failure> {
    if output.json {
        return output.json(answer);
    }
    let mut table = Table::new(&[">id", "tenant", "operation", "state", "step", "by", "started", "error"]);
    let now = Timestamp::now();
    for operation in Vec::<Operation>::deserialize(&answer["items"])? {
        let step = operation.progress();
        table.row([
            operation.id.to_string(),
            operation.slug.unwrap_or(operation.tenant),
            operation.kind,
            operation.state,
            step,
            operation.actor.unwrap_or_else(|| "-".to_owned()),
            figures::ago(&operation.started_at, now),
            operation.error.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    output.table(&table, "Nothing was done yet.")
}

fn say(output: Output, answer: &Value, sentence: impl FnOnce(&Shown) -> String) -> Result<(), Failure> {
    if output.json {
        return output.json(answer);
    }
    output.line(&sentence(&Shown::deserialize(answer)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_operation_says_where_it_is_why_and_what_to_do() {
        let operation = Operation::deserialize(&json!({
            "id": 17, "tenant": "t_7f3k9q2m", "slug": "acme", "kind": "import", "state": "running", "actor": "Olga",
            "steps": [{"step": "received", "at": "2026-01-01T00:00:00Z"}], "remaining": ["built", "active"], "attempts": 2,
            "error": "no disk", "started_at": "2026-01-01T00:00:00Z", "evidence": {},
        }))
        .unwrap();
        assert_eq!(
            operation.sentence(),
            "import by Olga: received (1 of 3); next: built, active; failed 2 times, the last: no disk; it is tried again by itself, or now: terrace tenant finish t_7f3k9q2m"
        );
    }
}

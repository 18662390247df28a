//! `terrace logs`: what services wrote, at once or as it comes.

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::segment;
use crate::{
    api::Api,
    arguments::{Level, Logs},
    failure::Failure,
    output::{Output, Style},
    table::tame,
};

/// How long the server holds a request back when there is no line yet, in seconds.
const WAIT_SECONDS: u64 = 20;

#[derive(Deserialize)]
struct Shown {
    items: Vec<Line>,
    last: u64,
}

#[derive(Deserialize)]
pub(super) struct Line {
    at: String,
    service: String,
    tenant: String,
    slug: Option<String>,
    request_id: String,
    level: String,
    message: String,
}

pub(crate) fn run(api: &Api, output: Output, options: &Logs) -> Result<(), Failure> {
    let mut query = format!("limit={}", options.limit);
    let mut ask = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    };
    ask("service", options.service.as_deref());
    ask("tenant", options.tenant.as_deref());
    ask("level", options.level.map(Level::word));
    let mut after = None;
    loop {
        let position = after.map_or_else(String::new, |after| {
            format!("&after={after}&wait_seconds={WAIT_SECONDS}")
        });
        let answer = api.get(&format!("/api/control/logs?{query}{position}"))?;
        let shown = Shown::deserialize(&answer)?;
        if output.json && !options.follow {
            return output.json(&answer);
        }
        if output.json {
            for line in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
                output.line(&line.to_string())?;
            }
        } else {
            let text: String = shown.items.iter().map(|line| line.render(output.style)).collect();
            output.text(&text)?;
            if shown.items.is_empty() && !options.follow {
                output.line("No lines yet. Services write them with `log::info!`; a request that fails leaves one.")?;
            }
        }
        if !options.follow {
            return Ok(());
        }
        after = Some(shown.last);
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Line {
    /// `12:03:04.123 ERROR tasks acme req_7f3k the service trapped: ...`, in the local time zone.
    pub(super) fn render(&self, style: Style) -> String {
        let time = self.at.parse::<Timestamp>().map_or_else(
            |_| tame(&self.at),
            |at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string(),
        );
        let level = format!("{:<5}", self.level.to_uppercase());
        let level = match self.level.as_str() {
            "error" => style.bad(&level),
            "warn" => style.warn(&level),
            _ => level,
        };
        let who = self.slug.as_deref().unwrap_or(&self.tenant);
        format!(
            "{} {level} {} {} {} {}\n",
            style.dim(&time),
            tame(&self.service),
            tame(who),
            style.dim(&tame(&self.request_id)),
            tame(&self.message),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_for_whom_and_what() {
        let line: Line = serde_json::from_str(
            r#"{"number":7,"at":"2026-01-02T03:04:05.678Z","service":"tasks","tenant":"t_7f3k9q2m","slug":"acme",
                "request_id":"req_a","level":"error","message":"the service trapped: out of\u001bbounds"}"#,
        )
        .unwrap();
        let text = line.render(Style::plain());
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(time.len(), "03:04:05.678".len(), "{text}");
        assert_eq!(
            rest,
            "ERROR tasks acme req_a the service trapped: out of\u{fffd}bounds\n"
        );
    }
}

//! What a release would change, as people read it: before a deploy, and of a release that is there.

use serde::Deserialize;

use crate::{output::Style, table::tame};

/// The API's `ReleaseDiff`.
#[derive(Deserialize)]
pub(crate) struct Changes {
    pub(crate) against: Option<String>,
    pub(crate) same: bool,
    pub(crate) breaking: bool,
    pub(crate) asks: Vec<Asked>,
    drops: Vec<Asked>,
    settings: Vec<Setting>,
    migrations: Vec<Migration>,
    contract: Vec<Contract>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct Setting {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Migration {
    name: String,
    takes_away: Vec<String>,
    makes_wait: Vec<String>,
}

#[derive(Deserialize)]
struct Contract {
    breaking: bool,
    place: String,
    detail: String,
}

impl Changes {
    /// Whether a migration makes tenants wait, or takes away what the served release uses.
    pub(crate) fn has_unsafe_migration(&self) -> bool {
        let mut migrations = self.migrations.iter();
        migrations.any(|migration| !migration.takes_away.is_empty() || !migration.makes_wait.is_empty())
    }

    /// One line for each difference; the marks say what kind it is: `+` asks, `-` drops, `~` changes,
    /// `!` breaks.
    pub(crate) fn page(&self, service: &str, style: Style) -> String {
        let Some(against) = &self.against else {
            let asks = self
                .asks
                .iter()
                .map(|ask| format!("  + {} {}\n", tame(&ask.kind), tame(&ask.name)));
            return format!("{service} is new, and asks for:\n{}", asks.collect::<String>());
        };
        if self.same {
            return format!("{service}: the same as {against}, which is served\n");
        }
        let mut lines = Vec::new();
        for ask in &self.asks {
            lines.push(format!(
                "+ newly asks for {} {}",
                tame(&ask.kind),
                style.bold(&tame(&ask.name))
            ));
        }
        for drop in &self.drops {
            lines.push(format!("- asks no more for {} {}", tame(&drop.kind), tame(&drop.name)));
        }
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "none".to_owned(), tame);
        for setting in &self.settings {
            let (before, after) = (value(&setting.before), value(&setting.after));
            lines.push(format!("~ {} is {after}, before {before}", tame(&setting.name)));
        }
        for migration in &self.migrations {
            lines.push(format!("+ migration {}", tame(&migration.name)));
            for what in &migration.takes_away {
                let what = format!(
                    "! migration {} {}: there is no way back",
                    tame(&migration.name),
                    tame(what)
                );
                lines.push(style.bad(&what));
            }
            for what in &migration.makes_wait {
                let what = format!("! migration {} {}", tame(&migration.name), tame(what));
                lines.push(style.bad(&what));
            }
        }
        for change in &self.contract {
            let line = format!("{}: {}", tame(&change.place), tame(&change.detail));
            lines.push(match change.breaking {
                true => style.bad(&format!("! breaks clients: {line}")),
                false => format!("~ {line}"),
            });
        }
        if lines.is_empty() {
            lines.push("nothing that its manifest, its contract or its migrations would tell".to_owned());
        }
        let body: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        format!("{service}, against {against}:\n{body}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_a_line_and_a_mark() {
        let diff = json!({
            "against": "r_23456789ab", "same": false, "breaking": true,
            "asks": [{ "kind": "capability", "name": "http" }],
            "drops": [{ "kind": "call", "name": "billing" }],
            "settings": [{ "name": "limits.cpu_ms", "before": "200", "after": "100" }],
            "migrations": [{
                "name": "0004_titles", "takes_away": ["drops the column `task.title`"], "makes_wait": ["makes an index on `task`"],
            }],
            "contract": [
                { "breaking": true, "place": "GET /api/tasks/boards", "detail": "the operation is gone" },
                { "breaking": false, "place": "GET /api/tasks/cards", "detail": "a new operation" },
            ],
        });
        let changes = Changes::deserialize(&diff).unwrap();
        let expected = "\
tasks, against r_23456789ab:
  + newly asks for capability http
  - asks no more for call billing
  ~ limits.cpu_ms is 100, before 200
  + migration 0004_titles
  ! migration 0004_titles drops the column `task.title`: there is no way back
  ! migration 0004_titles makes an index on `task`
  ! breaks clients: GET /api/tasks/boards: the operation is gone
  ~ GET /api/tasks/cards: a new operation
";
        assert_eq!(changes.page("tasks", Style::plain()), expected);
    }
}

//! What the gauntlet prints: a line for each attack on each server as it ends, and at last one line for each
//! attack, with all servers side by side. It measures nothing.

use std::time::Duration;

use super::assault::Outcome;

/// All lines so far.
pub(super) struct Table {
    rows: Vec<Row>,
}

struct Row {
    who: &'static str,
    attack: &'static str,
    outcome: Outcome,
    /// What became of the process; empty when it goes on as if nothing had been.
    fate: &'static str,
}

impl Table {
    /// Prints the head.
    pub(super) fn begin() -> Self {
        println!(
            "| who | attack | victim answered | victim p50 | victim p99 | attackers' requests ended | longest | process |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        Self { rows: Vec::new() }
    }

    /// Prints one line, and keeps it for the summary.
    pub(super) fn add(&mut self, who: &'static str, attack: &'static str, outcome: Outcome, fate: &'static str) {
        let ends: Vec<String> = outcome
            .ends
            .iter()
            .map(|(end, count)| format!("{end} {count}"))
            .collect();
        println!(
            "| {who} | {attack} | {} | {} | {} | {} | {} | {} |",
            share(&outcome),
            milliseconds(outcome.p50),
            milliseconds(outcome.p99),
            ends.join(", "),
            milliseconds(outcome.longest),
            if fate.is_empty() { "lives" } else { fate },
        );
        self.rows.push(Row {
            who,
            attack,
            outcome,
            fate,
        });
    }

    /// One line for each attack: how much the victim was answered, and the p99 of that. `-` where the attack
    /// cannot be said to a server, or was not.
    pub(super) fn print_summary(&self) {
        let mut servers = Vec::new();
        let mut attacks = Vec::new();
        for row in &self.rows {
            if !servers.contains(&row.who) {
                servers.push(row.who);
            }
            if !attacks.contains(&row.attack) {
                attacks.push(row.attack);
            }
        }
        println!("\nThe victim: answered, p99 of what was.\n");
        println!("| attack | {} |", servers.join(" | "));
        println!("|---|{}", "---|".repeat(servers.len()));
        for attack in attacks {
            let cells: Vec<String> = servers.iter().map(|who| self.cell(who, attack)).collect();
            println!("| {attack} | {} |", cells.join(" | "));
        }
    }

    fn cell(&self, who: &str, attack: &str) -> String {
        let Some(row) = self.rows.iter().find(|row| row.who == who && row.attack == attack) else {
            return "-".to_owned();
        };
        let mut parts = vec![share(&row.outcome)];
        if row.outcome.answered > 0 {
            parts.push(milliseconds(row.outcome.p99));
        }
        if !row.fate.is_empty() {
            parts.push(row.fate.to_owned());
        }
        parts.join(", ")
    }
}

fn share(outcome: &Outcome) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let share = 100.0 * outcome.answered as f64 / outcome.asked.max(1) as f64;
    format!("{share:.1} %")
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

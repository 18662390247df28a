//! Where data goes: standard output, as JSON or as text, with colours only for a terminal that wants them.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use crate::{failure::Failure, table::Table};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// For standard output: no colours into a file or a pipe, with `NO_COLOR`, or on a dumb terminal.
    fn of_stdout() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            coloured: io::stdout().is_terminal() && !is_unwanted && !is_dumb,
        }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { coloured: false }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What somebody should see before going on.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// A state: green for what is well, red for what is not.
    pub(crate) fn state(self, text: &str) -> String {
        match text {
            "up" | "active" => self.paint("32", text),
            "canary" => self.paint("33", text),
            "down" | "failed" => self.paint("31", text),
            _ => text.to_owned(),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) style: Style,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            style: Style::of_stdout(),
        }
    }

    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// The API's own answer, for programs and people alike.
    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(value)?)
    }

    /// A table, or `instead` when it has no row.
    pub(crate) fn table(self, table: &Table, instead: &str) -> Result<(), Failure> {
        if table.is_empty() {
            self.line(instead)
        } else {
            self.text(&table.render(self.style))
        }
    }
}

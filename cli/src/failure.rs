//! Why a command failed: what is said on standard error, and the exit code.

use std::{fmt::Write as _, io};

use serde::Deserialize;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or terrace.toml, is wrong.
    Usage(String),
    /// The platform refused.
    Problem(Box<Problem>),
    /// Nobody answered at this address.
    Unreachable { url: String, cause: String },
    /// A part of the platform is down, and `terrace status` has already said which.
    Down,
    /// Something on this machine: a file, a terminal.
    Local(anyhow::Error),
    /// Whoever read our output has had enough of it (`| head`). Not an error.
    PipeClosed,
}

/// A problem document (RFC 9457), as far as it is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) detail: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) errors: Vec<FieldError>,
}

/// One field that is not valid.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FieldError {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl Failure {
    /// As documented in `terrace --help`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::PipeClosed => 0,
            Self::Local(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Down => 5,
            Self::Problem(problem) => match problem.status {
                404 => 3,
                401 | 403 => 4,
                502..=504 => 5,
                _ => 1,
            },
        }
    }

    /// Says on standard error what went wrong and what to do next.
    pub(crate) fn print(&self) {
        if let Some(text) = self.text() {
            // Nothing can be done when standard error is gone, too.
            let _ = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
        }
    }

    fn text(&self) -> Option<String> {
        Some(match self {
            Self::PipeClosed | Self::Down => return None,
            Self::Usage(message) => format!("error: {message}\n"),
            Self::Local(error) => format!("error: {error:#}\n"),
            Self::Unreachable { url, cause } => format!(
                "error: nobody answers at {url}: {cause}\n  next: start it with `cargo dev`, or give another address with --url or TERRACE_URL\n"
            ),
            Self::Problem(problem) => problem.text(),
        })
    }
}

impl Problem {
    fn text(&self) -> String {
        let sentence = self.detail.as_ref().unwrap_or(&self.title);
        let mut text = format!("error: {sentence} ({})\n", self.code);
        for error in &self.errors {
            let _ = writeln!(text, "  {}: {}", error.pointer, error.detail);
        }
        if let Some(id) = &self.request_id {
            let _ = writeln!(text, "  request: {id}");
        }
        if let Some(next) = self.next() {
            let _ = writeln!(text, "  next: {next}");
        }
        text
    }

    fn next(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "unauthenticated" | "token-expired" | "token-invalid" => {
                "sign in with `terrace login`, or set TERRACE_TOKEN"
            }
            "token-foreign" | "forbidden" => {
                "sign in as an operator with `terrace login`; a member's session opens only their own workspace"
            }
            "not-found" => "`terrace tenant list`, `terrace service list` and `terrace site list` show what there is",
            "unknown-host" | "unknown-path" => {
                "is this a console's address? Check --url and --host; versions that differ can also be the reason"
            }
            "backend-unavailable" | "data-unavailable" | "service-unavailable" => {
                "try again in a moment; `terrace status` shows which part is down"
            }
            "too-many-requests" | "service-overloaded" => "try again in a moment",
            "internal" => "the node's log says more about this request",
            _ => return None,
        })
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Local(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::PipeClosed
        } else {
            Self::Local(error.into())
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Local(anyhow::Error::from(error).context("read the platform's answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str) -> Failure {
        Problem {
            status,
            code: code.to_owned(),
            ..Problem::default()
        }
        .into()
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let cases = [
            (Failure::PipeClosed, 0),
            (anyhow::anyhow!("no such file").into(), 1),
            (problem(409, "conflict"), 1),
            (problem(422, "validation-failed"), 1),
            (problem(500, "internal"), 1),
            (Failure::Usage("no".to_owned()), 2),
            (problem(404, "not-found"), 3),
            (problem(401, "unauthenticated"), 4),
            (problem(403, "token-foreign"), 4),
            (problem(503, "backend-unavailable"), 5),
            (problem(504, "service-timeout"), 5),
            (
                Failure::Unreachable {
                    url: String::new(),
                    cause: String::new(),
                },
                5,
            ),
            (Failure::Down, 5),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
        }
    }

    #[test]
    fn a_problem_says_what_where_which_request_and_what_next() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"x","title":"Sign in first","status":401,"code":"unauthenticated","request_id":"req_a","errors":[{"pointer":"/slug","detail":"is taken"}]}"#,
        )
        .unwrap();
        assert_eq!(
            problem.text(),
            "error: Sign in first (unauthenticated)\n  /slug: is taken\n  request: req_a\n  next: sign in with `terrace login`, or set TERRACE_TOKEN\n"
        );
    }
}

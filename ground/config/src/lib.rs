//! Reading a TOML file into a `Config` struct: an unknown key is an error that suggests the right one.
//!
//! Only binaries call this. Every other crate takes its own `Config` by value.

mod statements;

pub use statements::with_statements;

use std::{fs, io, path::Path};

use serde::de::DeserializeOwned;

/// Why a configuration cannot be used. The message names the file and says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The text is not TOML, or not of the right shape.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: String,
        /// Line, key, and the nearest known key.
        message: String,
    },
}

/// Reads `path` into `T`, whose structs deny unknown fields.
///
/// # Errors
/// [`Error::Read`] and [`Error::Parse`]; the latter names the line and, for an unknown key, the
/// nearest known one.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.display().to_string(),
        source,
    })?;
    parse(&text).map_err(|message| Error::Parse {
        path: path.display().to_string(),
        message,
    })
}

/// Reads TOML text into `T`, with the same messages as [`load`].
///
/// # Errors
/// One sentence: what is wrong, where, and what to write instead.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| explain(text, &error))
}

fn explain(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let message = error.message();
    let Some((unknown, known)) = unknown_key(message) else {
        return format!("line {line}: {}", message.trim());
    };
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(&unknown, a).total_cmp(&strsim::jaro_winkler(&unknown, b)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(&unknown, nearest) > 0.7 => {
            format!("line {line}: unknown key `{unknown}`; did you mean `{nearest}`?")
        }
        _ => format!(
            "line {line}: unknown key `{unknown}`; known keys are {}",
            known.join(", ")
        ),
    }
}

/// Serde says: unknown field `x`, expected one of `a`, `b` (or: expected `a`).
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.trim().strip_prefix("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((unknown.to_owned(), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its keys matter")]
    struct Example {
        listen: String,
        node: Option<String>,
    }

    #[test]
    fn an_unknown_key_is_an_error_that_suggests_the_right_one() {
        let error = parse::<Example>("listen = \"a\"\nlsten = \"b\"\n").unwrap_err();
        assert_eq!(error, "line 2: unknown key `lsten`; did you mean `listen`?");
        let error = parse::<Example>("listen = \"a\"\nqqq = 1\n").unwrap_err();
        assert!(error.contains("known keys are listen, node"), "{error}");
    }
}

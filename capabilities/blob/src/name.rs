//! What a file may be called, and of what type it may say it is.

use crate::{Error, ErrorKind};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// Longest content type.
const TYPE_BYTES_MAX: usize = 128;

fn wrong(message: String) -> Error {
    Error {
        kind: ErrorKind::BadValue,
        message,
    }
}

/// A name that may stand in a path, and that no two programs read differently.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_good = name.len() <= NAME_BYTES_MAX
        && name.split('/').all(is_part)
        && !name.chars().any(|c| c.is_control() || c == '\\');
    if is_good {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(wrong(format!(
        "{shown:?} is not a file's name: expected 1 to {NAME_BYTES_MAX} bytes, parts between `/` that are not empty, `.` or `..`, no control characters and no `\\`, like `invoices/2026/7.pdf`"
    )))
}

/// `type/subtype`, perhaps with parameters: what may stand in a header.
pub(crate) fn check_type(kind: &str) -> Result<(), Error> {
    let is_good = kind.len() <= TYPE_BYTES_MAX
        && kind.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && kind
            .split_once('/')
            .is_some_and(|(left, right)| !left.is_empty() && !right.is_empty() && !left.contains(' '));
    if is_good {
        return Ok(());
    }
    let shown: String = kind.chars().take(64).collect();
    Err(wrong(format!(
        "{shown:?} is not a content type: expected at most {TYPE_BYTES_MAX} characters like `image/png`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_reading() {
        for good in ["a", "a/b.c", "ü/ß 1", "...", "a..b", &"x".repeat(512)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "a/../b",
            "a/.",
            "a\nb",
            "a\0",
            "a\\b",
            &"x".repeat(513),
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_content_type_fits_into_a_header() {
        for good in ["image/png", "text/plain; charset=utf-8"] {
            assert!(check_type(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "png",
            "/png",
            "image/",
            "a/b\r\nx: y",
            "a b/c",
            "image/ä",
            &format!("a/{}", "b".repeat(128)),
        ] {
            assert!(check_type(bad).is_err(), "{bad:?}");
        }
    }
}

//! Collects every field that is not valid, so that a client hears of all of them at once.

use std::str::FromStr;

use terrace_ground_error::{Code, Problem};
use terrace_ground_ids::{RESERVED_SLUGS, Slug};

use crate::refusal::Refusal;

/// What is wrong so far.
#[derive(Debug)]
pub(crate) struct Validation(Problem);

impl Validation {
    pub(crate) fn new() -> Self {
        Self(Problem::new(Code::ValidationFailed))
    }

    pub(crate) fn reject(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.errors.push(terrace_ground_error::FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }

    /// The first label of a host, and none of the platform's own.
    pub(crate) fn slug(&mut self, pointer: &str, text: &str) -> Option<Slug> {
        if RESERVED_SLUGS.contains(&text) {
            self.reject(pointer, format!("`{text}` is reserved: the platform answers there"));
            return None;
        }
        let slug = text.parse().ok();
        if slug.is_none() {
            self.reject(
                pointer,
                "must be 1 to 31 of `a-z`, `0-9` and `-`, begin with a letter and not end with `-`",
            );
        }
        slug
    }

    /// A line that people read: 1 to 100 characters, without the spaces around it.
    pub(crate) fn line(&mut self, pointer: &str, text: &str) -> String {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
            self.reject(pointer, "must be one line of 1 to 100 characters");
        }
        text.to_owned()
    }

    /// The shape of an address. Whether somebody reads it, only a message can tell.
    pub(crate) fn email(&mut self, pointer: &str, text: &str) -> String {
        if !is_email(text) {
            self.reject(pointer, "must be an e-mail address, like ada@acme.example");
        }
        text.to_owned()
    }

    /// A password that somebody chose: long rather than complicated (NIST 800-63B-4).
    pub(crate) fn password(&mut self, pointer: &str, text: &str) {
        if text.chars().count() < 15 || text.len() > crate::password::LENGTH_MAX {
            self.reject(pointer, "must have 15 to 256 characters; leave it out to have one made");
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: FromStr>(&mut self, pointer: &str, text: &str, known: &str) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.reject(pointer, format!("must be one of {known}"));
        }
        value
    }

    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.0.errors.is_empty() {
            Ok(())
        } else {
            Err(self.0.into())
        }
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    !local.is_empty()
        && local.len() <= 64
        && text.len() <= 254
        && !local
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c))
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_at_sign_and_a_host() {
        for good in [
            "ada@acme.example",
            "ada+terrace@acme.example",
            "operator@localhost",
            "å@exämple.se",
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@acme.example",
            "ada@",
            "ada@acme..example",
            "a da@acme.example",
            "ada@b@c",
            "ada@-a.b",
            "a\n@b.c",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}

//! Validation of what a client sent: collects every field that is wrong, not only the first.

use std::ops::RangeInclusive;

use crate::{Code, Problem};

/// Collects what is wrong with a body:
///
/// ```
/// # use terrace_sdk::{Check, Problem};
/// # fn create(title: &str) -> Result<(), Problem> {
/// Check::new().text("/title", title, 1..=200).finish()
/// # }
/// assert!(create("").is_err());
/// assert!(create("Paint the fence").is_ok());
/// ```
#[derive(Debug)]
pub struct Check(Problem);

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl Check {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self(Problem::new(Code::ValidationFailed))
    }

    /// `text` must have so many characters, of which not all are white space, and no control
    /// character but line feed and tab.
    #[must_use]
    pub fn text(mut self, pointer: &str, text: &str, characters: RangeInclusive<usize>) -> Self {
        let count = text.chars().count();
        let blank = *characters.start() > 0 && text.trim().is_empty();
        if blank {
            self.0 = self.0.field(pointer, "must not be empty");
        } else if !characters.contains(&count) {
            let (start, end) = (characters.start(), characters.end());
            self.0 = self.0.field(
                pointer,
                format!("must have {start} to {end} characters, and has {count}"),
            );
        } else if text
            .chars()
            .any(|character| character.is_control() && !matches!(character, '\n' | '\t'))
        {
            self.0 = self.0.field(pointer, "must not contain control characters");
        }
        self
    }

    /// Adds `detail` to the field unless `valid`.
    #[must_use]
    pub fn that(mut self, pointer: &str, valid: bool, detail: &str) -> Self {
        if !valid {
            self.0 = self.0.field(pointer, detail);
        }
        self
    }

    /// Ok when nothing was wrong.
    ///
    /// # Errors
    /// `validation-failed`, with one entry for each wrong field.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.fields().is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

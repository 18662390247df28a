//! Why the guard said no, in words for the author of the statement.

/// A statement that will not be sent to the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The rule that it broke.
    pub reason: Reason,
    /// One sentence that names the offending part.
    pub message: String,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It does not parse.
    Syntax,
    /// It is longer than the limit, or nested too deeply.
    Size,
    /// It is not exactly one statement.
    Count,
    /// A statement of this kind is not on the allow-list.
    Statement,
    /// It names a schema, a catalogue or a reserved name.
    Name,
    /// It calls a function that is not on the allow-list.
    Function,
    /// It names a type that is not on the allow-list.
    Type,
    /// It names an operator with a schema.
    Operator,
    /// It uses a construct that is not on the allow-list.
    Construct,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn construct(what: &str) -> Self {
        Self::new(Reason::Construct, format!("{what} may not be used here"))
    }
}

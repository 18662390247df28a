//! Why a statement did not succeed, in the kinds that a service can act on.

/// The error of everything in this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// One sentence for the author of the statement. It never holds another tenant's data.
    pub message: String,
    /// Five characters, when the database said them.
    pub sqlstate: Option<String>,
    /// The constraint that was violated; the column, for a not-null violation.
    pub constraint: Option<String>,
}

/// The same kinds as `error-kind` in `contracts/wit/sql.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The guard, or the database's own rights, refused the statement.
    Refused,
    /// The statement does not parse, or names what does not exist.
    Syntax,
    /// A unique, foreign-key, check or not-null constraint.
    Constraint,
    /// Two transactions met: try again from the beginning.
    Conflict,
    /// A statement, lock or request deadline passed.
    Timeout,
    /// No connection could be had, or it was lost: too many requests of this tenant, or the database
    /// is away. When it was lost during a commit, the message says that the outcome is unknown.
    Unavailable,
    /// A parameter does not fit its column's type.
    BadValue,
    /// A limit: rows, bytes, parameters.
    Limit,
    /// The release is sealed, and the statement is not one of its list.
    Unsealed,
    /// Everything else.
    Other,
}

impl Error {
    /// An error of the router itself, without a SQLSTATE.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            sqlstate: None,
            constraint: None,
        }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }
}

impl ErrorKind {
    /// The kind of a SQLSTATE. The classes are those of PostgreSQL's appendix A, "Error Codes".
    pub fn of_sqlstate(sqlstate: &str) -> Self {
        match sqlstate {
            "40001" | "40P01" => Self::Conflict,
            "57014" | "55P03" | "25P03" | "25P04" => Self::Timeout,
            "42501" => Self::Refused,
            // A standby, or a primary that was one: the next connection finds the new one.
            "25006" => Self::Unavailable,
            // Of the platform's own functions: too many jobs wait (data/tenancy/sql/0006_schedule.sql).
            "TE002" => Self::Limit,
            _ => match sqlstate.get(..2).unwrap_or_default() {
                "08" | "53" | "57" | "58" => Self::Unavailable,
                "22" => Self::BadValue,
                "23" => Self::Constraint,
                "40" => Self::Conflict,
                "42" | "3F" | "3D" | "26" => Self::Syntax,
                "54" => Self::Limit,
                _ => Self::Other,
            },
        }
    }
}

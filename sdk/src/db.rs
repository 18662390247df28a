//! SQL in the schema of this tenant and service: queries, transactions, typed rows.
//!
//! A service names tables and nothing else. Schema, role, database and host are the platform's, and
//! a statement that the guard does not know is refused before it is sent.

use std::{future::Future, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;

use crate::{Code, Problem, Timestamp, host};

mod array;

/// One value, as a parameter or in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL, of any type.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`, `integer`, `bigint`
    Integer(i64),
    /// `real`, `double precision`
    Float(f64),
    /// `text`, `varchar`, `numeric`, `date`, `interval` and enum types
    Text(String),
    /// `bytea`
    Bytes(Vec<u8>),
    /// `timestamptz`, `timestamp`: microseconds since 1970-01-01T00:00:00Z
    Timestamp(i64),
    /// `uuid`, in its 36-character form
    Uuid(String),
    /// `json`, `jsonb`, as text
    Json(String),
}

/// Why a statement or a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?}: {message}")]
pub struct Error {
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// For the log. It may name tables and values: never send it to a client.
    pub message: String,
    /// Five characters of SQLSTATE, when the database said them.
    pub sqlstate: Option<String>,
    /// The constraint that was broken, for [`ErrorKind::Constraint`].
    pub constraint: Option<String>,
}

/// The sorts of failure, as in `contracts/wit/sql.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The guard refused the statement. It was never sent.
    Refused,
    /// The statement does not parse, or names what does not exist.
    Syntax,
    /// A unique, foreign-key, check or not-null constraint.
    Constraint,
    /// Two transactions met: try again from the beginning.
    Conflict,
    /// A statement, lock or request deadline passed.
    Timeout,
    /// No connection could be had.
    Unavailable,
    /// A parameter does not fit its column's type, or a column not the type that was asked for.
    BadValue,
    /// A limit: rows, bytes, open transactions, savepoints or scans.
    Limit,
    /// The release is sealed, and the statement is not one of its list. It was never sent.
    Unsealed,
    /// Anything else.
    Other,
}

impl Error {
    /// A value that is not what the service expected of its own tables.
    pub fn bad_value(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::BadValue,
            message: message.into(),
            sqlstate: None,
            constraint: None,
        }
    }

    /// Whether the server refused a value for what it is: a NUL in text, a number out of range, text
    /// that is no date. A service that checks its input better says it better.
    fn is_of_the_client(&self) -> bool {
        let states = ["22001", "22003", "22007", "22008", "22021", "22P02", "22P05"];
        self.sqlstate.as_deref().is_some_and(|state| states.contains(&state))
    }

    /// `problem` when exactly this constraint was broken; the usual answer otherwise:
    /// `.map_err(|error| error.on("task_board_fkey", Problem::not_found("board")))`.
    pub fn on(self, constraint: &str, problem: Problem) -> Problem {
        if self.constraint.as_deref() == Some(constraint) {
            problem
        } else {
            self.into()
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Constraint => {
                crate::log::warn!("{error}");
                Problem::conflict("It clashes with something that is already there.")
            }
            ErrorKind::Conflict => Problem::conflict("Somebody changed it at the same moment. Try again."),
            ErrorKind::Unavailable | ErrorKind::Timeout => {
                crate::log::warn!("{error}");
                Problem::new(Code::DataUnavailable)
            }
            ErrorKind::Limit => {
                crate::log::warn!("{error}");
                Problem::new(Code::TooManyRequests)
            }
            ErrorKind::BadValue if error.is_of_the_client() => {
                crate::log::warn!("{error}");
                Problem::new(Code::ValidationFailed)
                    .detail("A value cannot be stored: it is out of range, or has a character that text may not have.")
            }
            _ => Problem::internal(error),
        }
    }
}

/// The database of this request's tenant. An extractor: it costs nothing until it is used.
#[derive(Debug, Clone, Copy)]
pub struct Db(());

impl<S: Send + Sync> FromRequestParts<S> for Db {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(()))
    }
}

impl Db {
    /// One statement in a transaction of its own, in one flight. `$1`, `$2`, ... take [`crate::params!`].
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        host::query(statement, params).await
    }

    /// Begins a transaction. Dropping it without [`Transaction::commit`] rolls back.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the request has too many open, [`ErrorKind::Unavailable`].
    pub async fn begin(&self) -> Result<Transaction, Error> {
        host::begin().await.map(Transaction)
    }
}

/// Several statements and events that happen together or not at all.
pub struct Transaction(pub(crate) host::Transaction);

impl Transaction {
    /// One statement.
    ///
    /// # Errors
    /// See [`ErrorKind`]. After one, only a rollback is left to do.
    pub async fn query(&mut self, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        self.0.query(statement, params).await
    }

    /// Says that something happened. It becomes true, gets its number in the tenant's stream and
    /// reaches browsers with the commit, and never without it. The platform puts the service's name
    /// in front of `kind`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when `data` is over 64 KiB of JSON, [`ErrorKind::BadValue`] when it is none.
    pub fn publish<T: Serialize + ?Sized>(
        &mut self,
        kind: &str,
        topic: impl AsRef<str>,
        data: &T,
    ) -> Result<(), Error> {
        let data = serde_json::to_string(data).map_err(|error| Error::bad_value(format!("event {kind}: {error}")))?;
        self.0.publish(kind, topic.as_ref(), data)
    }

    /// Sets a savepoint: a point to which [`Transaction::rollback_to`] goes back.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the transaction has made too many.
    pub async fn savepoint(&mut self) -> Result<Savepoint, Error> {
        self.0.savepoint().await.map(Savepoint)
    }

    /// Takes back everything since the savepoint, events too. It stays set, and the transaction goes on,
    /// also after a statement that failed.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] when it is not set any more.
    pub async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        self.0.rollback_to(savepoint.0).await
    }

    /// Forgets the savepoint and those after it, and keeps what happened since.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] when it is not set any more.
    pub async fn release(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        self.0.release(savepoint.0).await
    }

    /// A SELECT whose rows come in batches, for results that are too large to be held at once. Other
    /// statements may run between two batches.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn scan(&mut self, statement: &str, params: Vec<Value>) -> Result<Scan, Error> {
        self.0.scan(statement, params).await.map(Scan)
    }

    /// The next rows of a scan; `None` at its end.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn next(&mut self, scan: Scan) -> Result<Option<Rows>, Error> {
        self.0.next(scan.0).await
    }

    /// Ends a scan before its end.
    pub fn close(&mut self, scan: Scan) {
        self.0.close(scan.0);
    }

    /// Makes it so.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], a deferred constraint, or a lost connection: then it did not happen,
    /// or nobody knows ([`ErrorKind::Unavailable`]).
    pub async fn commit(self) -> Result<(), Error> {
        self.0.commit().await
    }

    /// Takes it back at once, rather than when the value is dropped.
    pub async fn rollback(self) {
        self.0.rollback().await;
    }
}

/// A point in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint(u32);

/// A result that is read in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan(u32);

/// Runs `attempt` again, twice at most, when its transaction met another one.
///
/// # Errors
/// Those of the last attempt.
pub async fn retry<T, F, Fut>(mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    for _ in 0..2 {
        match attempt().await {
            Err(error) if error.kind == ErrorKind::Conflict => {}
            done => return done,
        }
    }
    attempt().await
}

/// The result of one statement.
#[derive(Debug, Clone)]
pub struct Rows {
    rows: Vec<Row>,
    affected: u64,
}

impl Rows {
    #[doc(hidden)]
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Value>>, affected: u64) -> Self {
        let columns: Arc<[String]> = columns.into();
        let rows = rows
            .into_iter()
            .map(|values| Row {
                columns: Arc::clone(&columns),
                values,
            })
            .collect();
        Self { rows, affected }
    }

    /// The same rows in parts of at most `size`: what the native host makes of a scan.
    #[cfg(feature = "native-postgres")]
    pub(crate) fn batches(self, size: usize) -> std::collections::VecDeque<Self> {
        let part = |rows: &[Row]| Self {
            rows: rows.to_vec(),
            affected: 0,
        };
        self.rows.chunks(size.max(1)).map(part).collect()
    }

    /// Rows that an INSERT, UPDATE or DELETE touched, or that a SELECT returned.
    pub fn affected(&self) -> u64 {
        self.affected
    }

    /// True when no row came back.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first row, if there is one.
    pub fn first(&self) -> Option<&Row> {
        self.rows.first()
    }

    /// Every row as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] when a column is missing or has another type.
    pub fn all<T: FromRow>(&self) -> Result<Vec<T>, Error> {
        self.rows.iter().map(T::from_row).collect()
    }

    /// The first row as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`].
    pub fn optional<T: FromRow>(&self) -> Result<Option<T>, Error> {
        self.rows.first().map(T::from_row).transpose()
    }

    /// The first row as a `T`, where there must be one.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`], also when there is none.
    pub fn one<T: FromRow>(&self) -> Result<T, Error> {
        self.optional()?
            .ok_or_else(|| Error::bad_value("a statement that returns a row returned none"))
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

/// One row: `row.get::<i64>("id")?`.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The column's value as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] when there is no such column or it has another type.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, Error> {
        let value = self
            .columns
            .iter()
            .position(|name| name == column)
            .and_then(|index| self.values.get(index));
        let value = value.ok_or_else(|| Error::bad_value(format!("no column `{column}`")))?;
        T::from_value(value)
            .ok_or_else(|| Error::bad_value(format!("column `{column}` is no {}", std::any::type_name::<T>())))
    }
}

/// A struct that one row becomes.
pub trait FromRow: Sized {
    /// Called once for each row.
    ///
    /// # Errors
    /// Those of [`Row::get`].
    fn from_row(row: &Row) -> Result<Self, Error>;
}

/// A type that a column becomes.
pub trait FromValue: Sized {
    /// None when the value has another type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $result:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value { $pattern => $result, _ => None }
            }
        })*
    };
}

from_value! {
    bool: Value::Bool(value) => Some(*value);
    i64: Value::Integer(value) => Some(*value);
    i32: Value::Integer(value) => i32::try_from(*value).ok();
    u64: Value::Integer(value) => u64::try_from(*value).ok();
    String: Value::Text(value) | Value::Uuid(value) | Value::Json(value) => Some(value.clone());
    Vec<u8>: Value::Bytes(value) => Some(value.clone());
    Timestamp: Value::Timestamp(micros) => Some(Timestamp::from_micros(*micros));
    serde_json::Value: Value::Json(text) => serde_json::from_str(text).ok();
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Float(value) => Some(*value),
            #[expect(
                clippy::cast_precision_loss,
                reason = "whoever asks for a float of an integer column wants the nearest one"
            )]
            Value::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }
}

macro_rules! into_value {
    ($($type:ty: $value:ident => $result:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self { $result }
        })*
    };
}

into_value! {
    bool: value => Self::Bool(value);
    i64: value => Self::Integer(value);
    i32: value => Self::Integer(value.into());
    u32: value => Self::Integer(value.into());
    f64: value => Self::Float(value);
    String: value => Self::Text(value);
    &String: value => Self::Text(value.clone());
    &str: value => Self::Text(value.to_owned());
    Vec<u8>: value => Self::Bytes(value);
    &[u8]: value => Self::Bytes(value.to_vec());
    Timestamp: value => Self::Timestamp(value.micros());
    &serde_json::Value: value => Self::Json(value.to_string());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement: `params![board, title, None::<String>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::db::Value::from($value)),*] };
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn conflict() -> Error {
        Error {
            kind: ErrorKind::Conflict,
            message: String::new(),
            sqlstate: None,
            constraint: None,
        }
    }

    #[tokio::test]
    async fn a_conflict_is_tried_three_times_and_nothing_else_is() {
        let count = Cell::new(0);
        let attempt = |error: Option<Error>| {
            count.set(count.get() + 1);
            async { error.map_or(Ok(()), Err) }
        };
        assert!(retry(|| attempt(Some(conflict()))).await.is_err());
        assert_eq!(count.replace(0), 3);
        assert!(retry(|| attempt(Some(Error::bad_value("x")))).await.is_err());
        assert_eq!(count.replace(0), 1);
        assert!(retry(|| attempt(None)).await.is_ok());
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_column_of_another_type_is_an_error_and_not_a_default() {
        let rows = Rows::new(
            vec!["id".into(), "title".into()],
            vec![vec![Value::Integer(7), Value::Null]],
            1,
        );
        let row = rows.first().unwrap();
        assert_eq!(row.get::<i64>("id"), Ok(7));
        assert_eq!(row.get::<Option<String>>("title"), Ok(None));
        assert_eq!(row.get::<String>("title").unwrap_err().kind, ErrorKind::BadValue);
        assert_eq!(row.get::<String>("id").unwrap_err().kind, ErrorKind::BadValue);
        assert_eq!(row.get::<i64>("nothing").unwrap_err().kind, ErrorKind::BadValue);
    }
}

//! Between the words of the WIT interface and those of the router: the same ones, moved not copied.

use terrace_data_router as router;

use crate::bindings::terrace::platform::sql::{Error, ErrorKind, Rows, Value};

impl From<Value> for router::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Bool(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(value) => Self::Text(value),
            Value::Bytes(value) => Self::Bytes(value),
            Value::Timestamp(value) => Self::Timestamp(value),
            Value::Uuid(value) => Self::Uuid(value),
            Value::Json(value) => Self::Json(value),
        }
    }
}

impl From<router::Value> for Value {
    fn from(value: router::Value) -> Self {
        match value {
            router::Value::Null => Self::Null,
            router::Value::Bool(value) => Self::Boolean(value),
            router::Value::Integer(value) => Self::Integer(value),
            router::Value::Float(value) => Self::Float(value),
            router::Value::Text(value) => Self::Text(value),
            router::Value::Bytes(value) => Self::Bytes(value),
            router::Value::Timestamp(value) => Self::Timestamp(value),
            router::Value::Uuid(value) => Self::Uuid(value),
            router::Value::Json(value) => Self::Json(value),
        }
    }
}

impl From<router::Rows> for Rows {
    fn from(rows: router::Rows) -> Self {
        Self {
            columns: rows.columns,
            rows: rows
                .rows
                .into_iter()
                .map(|row| row.into_iter().map(Into::into).collect())
                .collect(),
            affected: rows.affected,
        }
    }
}

impl From<router::Error> for Error {
    fn from(error: router::Error) -> Self {
        let kind = match error.kind {
            router::ErrorKind::Refused => ErrorKind::Refused,
            router::ErrorKind::Syntax => ErrorKind::Syntax,
            router::ErrorKind::Constraint => ErrorKind::Constraint,
            router::ErrorKind::Conflict => ErrorKind::Conflict,
            router::ErrorKind::Timeout => ErrorKind::Timeout,
            router::ErrorKind::Unavailable => ErrorKind::Unavailable,
            router::ErrorKind::BadValue => ErrorKind::BadValue,
            router::ErrorKind::Limit => ErrorKind::Limit,
            router::ErrorKind::Unsealed => ErrorKind::Unsealed,
            router::ErrorKind::Other => ErrorKind::Other,
        };
        Self {
            kind,
            message: error.message,
            sqlstate: error.sqlstate,
            constraint: error.constraint,
        }
    }
}

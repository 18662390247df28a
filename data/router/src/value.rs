//! What a statement takes and gives: one `Value` per parameter and per cell, and the `Rows` of a result.

/// One value, as a parameter or in a row. A parameter is converted to the type that PostgreSQL
/// inferred for its place in the statement; what does not fit is [`crate::ErrorKind::BadValue`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL, of any type.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `smallint`, `integer`, `bigint`; as a parameter also `numeric`, `real`, `double precision`.
    Integer(i64),
    /// `real`, `double precision`; as a parameter also `numeric`.
    Float(f64),
    /// `text`, `varchar`, `char`, `name`, and every type that travels as text: `numeric`, `date`,
    /// `interval`, enums, arrays.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
    /// `timestamptz`, `timestamp`: microseconds since 1970-01-01T00:00:00Z. `infinity` is `i64::MAX`
    /// and `-infinity` is `i64::MIN`.
    Timestamp(i64),
    /// `uuid`, in its 36-character form.
    Uuid(String),
    /// `json`, `jsonb`, as text.
    Json(String),
}

/// The result of one statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Names of the columns, in order. Empty for a statement that returns nothing.
    pub columns: Vec<String>,
    /// PostgreSQL's object ids of the columns' types, in order: 23 is `integer`.
    pub types: Vec<u32>,
    /// The rows; each has as many values as there are columns.
    pub rows: Vec<Vec<Value>>,
    /// Rows that an INSERT, UPDATE or DELETE touched, or that a SELECT returned.
    pub affected: u64,
}

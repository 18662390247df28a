//! Values to and from the wire, by the type that PostgreSQL inferred.
//!
//! Binary where that is a fixed number of bytes; text for everything whose binary form is a format of
//! its own (numeric, intervals, ranges, arrays) or would need a copy of the type's parser.

use bytes::{BufMut, BytesMut};
use postgres_protocol::{IsNull, Oid};

use crate::{Error, ErrorKind, Value};

// Object ids of built-in types: src/include/catalog/pg_type.dat, stable for ever.
const BOOL: Oid = 16;
const BYTEA: Oid = 17;
const INT8: Oid = 20;
const INT2: Oid = 21;
const INT4: Oid = 23;
pub(crate) const TEXT: Oid = 25;
const JSON: Oid = 114;
const FLOAT4: Oid = 700;
const FLOAT8: Oid = 701;
const TIMESTAMP: Oid = 1114;
const TIMESTAMPTZ: Oid = 1184;
const UUID: Oid = 2950;
const JSONB: Oid = 3802;

/// Microseconds from 1970-01-01, where ours begin, to 2000-01-01, where PostgreSQL's do.
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

const TEXT_FORMAT: i16 = 0;
const BINARY_FORMAT: i16 = 1;

/// The format in which a column of this type is asked for.
pub(crate) fn column_format(oid: Oid) -> i16 {
    match oid {
        BOOL | BYTEA | INT2 | INT4 | INT8 | FLOAT4 | FLOAT8 | TIMESTAMP | TIMESTAMPTZ | UUID => BINARY_FORMAT,
        _ => TEXT_FORMAT,
    }
}

/// The format in which this parameter travels.
pub(crate) fn param_format(value: &Value, oid: Oid) -> i16 {
    match (value, oid) {
        (Value::Null, _) => TEXT_FORMAT,
        (Value::Bool(_), BOOL)
        | (Value::Integer(_), INT2 | INT4 | INT8 | FLOAT4 | FLOAT8)
        | (Value::Float(_), FLOAT4 | FLOAT8)
        | (Value::Bytes(_), BYTEA)
        | (Value::Timestamp(_), TIMESTAMP | TIMESTAMPTZ) => BINARY_FORMAT,
        _ => TEXT_FORMAT,
    }
}

/// Writes a parameter in its format.
pub(crate) fn encode(value: &Value, oid: Oid, out: &mut BytesMut) -> Result<IsNull, Error> {
    match (value, oid) {
        (Value::Null, _) => return Ok(IsNull::Yes),
        (Value::Bool(value), BOOL) => out.put_u8(u8::from(*value)),
        (Value::Integer(value), INT2) => out.put_i16(narrow(*value, "smallint")?),
        (Value::Integer(value), INT4) => out.put_i32(narrow(*value, "integer")?),
        (Value::Integer(value), INT8) => out.put_i64(*value),
        (Value::Integer(value), FLOAT4) => out.put_f32(*value as f32),
        #[expect(clippy::cast_precision_loss, reason = "the column's type is as precise as it is")]
        (Value::Integer(value), FLOAT8) => out.put_f64(*value as f64),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the column's type is as precise as it is"
        )]
        (Value::Float(value), FLOAT4) => out.put_f32(*value as f32),
        (Value::Float(value), FLOAT8) => out.put_f64(*value),
        (Value::Bytes(value), BYTEA) => out.put_slice(value),
        (Value::Timestamp(value), TIMESTAMP | TIMESTAMPTZ) => out.put_i64(to_postgres_epoch(*value)?),
        (Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Bytes(_) | Value::Timestamp(_), oid)
            if is_typed(oid) =>
        {
            return Err(mismatch(value, oid));
        }
        // A number may go where PostgreSQL takes one as text: numeric, and types it does not know yet.
        (Value::Integer(value), _) => out.put_slice(value.to_string().as_bytes()),
        (Value::Float(value), _) => out.put_slice(value.to_string().as_bytes()),
        (Value::Bool(_) | Value::Bytes(_) | Value::Timestamp(_), _) => return Err(mismatch(value, oid)),
        (Value::Text(text) | Value::Uuid(text) | Value::Json(text), _) => {
            if text.as_bytes().contains(&0) {
                // As the server says it of text that it gets in other ways.
                return Err(Error {
                    sqlstate: Some("22021".to_owned()),
                    ..Error::new(ErrorKind::BadValue, "text has no NUL character")
                });
            }
            out.put_slice(text.as_bytes());
        }
    }
    Ok(IsNull::No)
}

/// Reads a cell, which came in the format of [`column_format`].
pub(crate) fn decode(oid: Oid, bytes: &[u8]) -> Result<Value, Error> {
    Ok(match oid {
        BOOL => Value::Bool(fixed::<1>(bytes)? != [0]),
        INT2 => Value::Integer(i16::from_be_bytes(fixed(bytes)?).into()),
        INT4 => Value::Integer(i32::from_be_bytes(fixed(bytes)?).into()),
        INT8 => Value::Integer(i64::from_be_bytes(fixed(bytes)?)),
        FLOAT4 => Value::Float(f32::from_be_bytes(fixed(bytes)?).into()),
        FLOAT8 => Value::Float(f64::from_be_bytes(fixed(bytes)?)),
        BYTEA => Value::Bytes(bytes.to_vec()),
        TIMESTAMP | TIMESTAMPTZ => Value::Timestamp(from_postgres_epoch(i64::from_be_bytes(fixed(bytes)?))),
        UUID => Value::Uuid(uuid_text(fixed(bytes)?)),
        JSON | JSONB => Value::Json(String::from_utf8_lossy(bytes).into_owned()),
        _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
    })
}

fn is_typed(oid: Oid) -> bool {
    const TEXTS: [Oid; 4] = [19, 25, 1042, 1043];
    const DATE: Oid = 1082;
    column_format(oid) == BINARY_FORMAT || TEXTS.contains(&oid) || matches!(oid, JSON | JSONB | DATE)
}

fn narrow<T: TryFrom<i64>>(value: i64, name: &str) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::new(ErrorKind::BadValue, format!("{value} is out of range for {name}")))
}

fn mismatch(value: &Value, oid: Oid) -> Error {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "a timestamp",
        Value::Uuid(_) => "a uuid",
        Value::Json(_) => "JSON",
    };
    let wanted = match oid {
        BOOL => "boolean",
        BYTEA => "bytea",
        INT2 | INT4 | INT8 => "an integer type",
        FLOAT4 | FLOAT8 => "a floating-point type",
        JSON | JSONB => "json",
        TIMESTAMP | TIMESTAMPTZ => "a timestamp type",
        UUID => "uuid",
        _ => "a type that is written as text",
    };
    Error::new(
        ErrorKind::BadValue,
        format!("the parameter is {given}, the statement needs {wanted}"),
    )
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes
        .try_into()
        .map_err(|_| Error::new(ErrorKind::Other, "the database sent a value of an unexpected length"))
}

fn to_postgres_epoch(micros: i64) -> Result<i64, Error> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        micros => micros
            .checked_sub(EPOCH_OFFSET_MICROS)
            .ok_or_else(|| Error::new(ErrorKind::BadValue, "the timestamp is out of range")),
    }
}

fn from_postgres_epoch(micros: i64) -> i64 {
    match micros {
        i64::MAX | i64::MIN => micros,
        micros => micros.saturating_add(EPOCH_OFFSET_MICROS),
    }
}

fn uuid_text(bytes: [u8; 16]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

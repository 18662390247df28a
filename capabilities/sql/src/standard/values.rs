//! Values of `spin:postgres` to and from the router's.

use terrace_data_router::Value;

use super::{
    bindings::spin::postgres::postgres::{DbDataType, DbValue, ParameterValue},
    dates,
};

// Object ids of built-in types: src/include/catalog/pg_type.dat, stable for ever.
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// What the interface calls a type. `other` is one for which it has no word; its values come as text.
pub(super) fn data_type(oid: u32) -> DbDataType {
    match oid {
        BOOL => DbDataType::Boolean,
        INT2 => DbDataType::Int16,
        INT4 => DbDataType::Int32,
        INT8 => DbDataType::Int64,
        FLOAT4 => DbDataType::Floating32,
        FLOAT8 => DbDataType::Floating64,
        TEXT | VARCHAR | BPCHAR | NAME => DbDataType::Str,
        BYTEA => DbDataType::Binary,
        DATE => DbDataType::Date,
        TIME => DbDataType::Time,
        TIMESTAMP | TIMESTAMPTZ => DbDataType::Datetime,
        _ => DbDataType::Other,
    }
}

/// A cell of a column of this type.
pub(super) fn from_router(value: Value, oid: u32) -> DbValue {
    match (value, oid) {
        (Value::Null, _) => DbValue::DbNull,
        (Value::Bool(value), _) => DbValue::Boolean(value),
        (Value::Integer(value), INT2) => i16::try_from(value).map_or(DbValue::Unsupported, DbValue::Int16),
        (Value::Integer(value), INT4) => i32::try_from(value).map_or(DbValue::Unsupported, DbValue::Int32),
        (Value::Integer(value), _) => DbValue::Int64(value),
        #[expect(clippy::cast_possible_truncation, reason = "the column is no more precise")]
        (Value::Float(value), FLOAT4) => DbValue::Floating32(value as f32),
        (Value::Float(value), _) => DbValue::Floating64(value),
        // Dates before our era, and `infinity`, are nothing that the interface can say.
        (Value::Text(text), DATE) => dates::read_date(&text).map_or(DbValue::Unsupported, DbValue::Date),
        (Value::Text(text), TIME) => dates::read_time(&text).map_or(DbValue::Unsupported, DbValue::Time),
        (Value::Text(value) | Value::Uuid(value) | Value::Json(value), _) => DbValue::Str(value),
        (Value::Bytes(value), _) => DbValue::Binary(value),
        (Value::Timestamp(micros), _) => dates::of_micros(micros).map_or(DbValue::Unsupported, DbValue::Datetime),
    }
}

/// A parameter.
///
/// # Errors
/// Why PostgreSQL has no such value, for the guest.
pub(super) fn to_router(value: ParameterValue) -> Result<Value, String> {
    Ok(match value {
        ParameterValue::Boolean(value) => Value::Bool(value),
        ParameterValue::Int8(value) => Value::Integer(value.into()),
        ParameterValue::Int16(value) => Value::Integer(value.into()),
        ParameterValue::Int32(value) => Value::Integer(value.into()),
        ParameterValue::Int64(value) => Value::Integer(value),
        ParameterValue::Uint8(value) => Value::Integer(value.into()),
        ParameterValue::Uint16(value) => Value::Integer(value.into()),
        ParameterValue::Uint32(value) => Value::Integer(value.into()),
        ParameterValue::Uint64(value) => i64::try_from(value)
            .map(Value::Integer)
            .map_err(|_| format!("{value} is out of range: PostgreSQL's largest integer has 63 bits"))?,
        ParameterValue::Floating32(value) => Value::Float(value.into()),
        ParameterValue::Floating64(value) => Value::Float(value),
        ParameterValue::Str(value) => Value::Text(value),
        ParameterValue::Binary(value) => Value::Bytes(value),
        ParameterValue::Date(value) => Value::Text(dates::write_date(value)?),
        ParameterValue::Time(value) => Value::Text(dates::write_time(value)?),
        ParameterValue::Datetime(value) => Value::Timestamp(dates::to_micros(value)?),
        ParameterValue::Timestamp(seconds) => seconds
            .checked_mul(1_000_000)
            .map(Value::Timestamp)
            .ok_or_else(|| format!("{seconds} seconds are out of range for a timestamp"))?,
        ParameterValue::DbNull => Value::Null,
    })
}

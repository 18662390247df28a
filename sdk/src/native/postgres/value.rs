//! Values to and from PostgreSQL's binary formats, by the type that the server says.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::db::Value;

type BoxError = Box<dyn Error + Sync + Send>;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A parameter, on its way out.
#[derive(Debug)]
pub(super) struct Parameter<'a>(pub(super) &'a Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        let misfit = || Err(format!("{:?} does not fit {wanted}", self.0).into());
        match (self.0, wanted) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Bool(value), &Type::BOOL) => out.put_u8(u8::from(*value)),
            (Value::Integer(value), &Type::INT2) => out.put_i16(i16::try_from(*value)?),
            (Value::Integer(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            (Value::Integer(value), &Type::INT8) => out.put_i64(*value),
            #[expect(
                clippy::cast_precision_loss,
                reason = "whoever sends an integer to a float column wants the nearest one"
            )]
            (Value::Integer(value), &Type::FLOAT8) => out.put_f64(*value as f64),
            #[expect(clippy::cast_possible_truncation, reason = "that is what a real column keeps")]
            (Value::Float(value), &Type::FLOAT4) => out.put_f32(*value as f32),
            (Value::Float(value), &Type::FLOAT8) => out.put_f64(*value),
            (Value::Bytes(value), &Type::BYTEA) => out.put_slice(value),
            (Value::Timestamp(value), &Type::TIMESTAMPTZ | &Type::TIMESTAMP) => out.put_i64(value - POSTGRES_EPOCH),
            (Value::Text(value), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) => {
                out.put_slice(value.as_bytes());
            }
            (Value::Uuid(value) | Value::Text(value), &Type::UUID) => out.put_slice(&uuid(value).ok_or("no uuid")?),
            (Value::Json(value), &Type::JSON) => out.put_slice(value.as_bytes()),
            (Value::Json(value), &Type::JSONB) => {
                out.put_u8(1);
                out.put_slice(value.as_bytes());
            }
            _ => return misfit(),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column, on its way in.
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(said: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        let text = || Ok::<_, BoxError>(std::str::from_utf8(raw)?.to_owned());
        Ok(Self(match *said {
            Type::BOOL => Value::Bool(raw == [1]),
            Type::INT2 => Value::Integer(i16::from_be_bytes(raw.try_into()?).into()),
            Type::INT4 => Value::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT8 => Value::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::FLOAT4 => Value::Float(f32::from_be_bytes(raw.try_into()?).into()),
            Type::FLOAT8 => Value::Float(f64::from_be_bytes(raw.try_into()?)),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                Value::Timestamp(i64::from_be_bytes(raw.try_into()?) + POSTGRES_EPOCH)
            }
            Type::UUID => Value::Uuid(written(raw)),
            Type::JSON => Value::Json(text()?),
            Type::JSONB => Value::Json(std::str::from_utf8(raw.get(1..).ok_or("an empty jsonb")?)?.to_owned()),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Value::Text(text()?),
            _ => return Err(format!("this host reads no {said}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

fn written(raw: &[u8]) -> String {
    let digits: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = digits;
    for place in [20, 16, 12, 8] {
        if text.len() >= place {
            text.insert(place, '-');
        }
    }
    text
}

//! Values to and from PostgreSQL's binary formats, by the type that the server says.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

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
            (Value::Uuid(value) | Value::Text(value), &Type::UUID) => out.put_slice(&uuid(value).ok_or("no uuid")?),
            (Value::Json(value), &Type::JSON) => out.put_slice(value.as_bytes()),
            (Value::Json(value), &Type::JSONB) => {
                out.put_u8(1);
                out.put_slice(value.as_bytes());
            }
            // The rest travels as text, which the server reads itself: numeric, date, arrays, enums.
            (Value::Text(value), _) => out.put_slice(value.as_bytes()),
            (Value::Integer(value), &Type::NUMERIC) => out.put_slice(value.to_string().as_bytes()),
            (Value::Float(value), &Type::NUMERIC) => out.put_slice(value.to_string().as_bytes()),
            _ => return misfit(),
        }
        Ok(IsNull::No)
    }

    fn encode_format(&self, wanted: &Type) -> Format {
        match (self.0, wanted) {
            (Value::Text(_), &Type::UUID) => Format::Binary,
            (Value::Text(_), _) | (_, &Type::NUMERIC) => Format::Text,
            _ => Format::Binary,
        }
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
            Type::NUMERIC => Value::Text(numeric(raw)?),
            Type::DATE => Value::Text(date(i32::from_be_bytes(raw.try_into()?))),
            _ => match said.kind() {
                Kind::Enum(_) => Value::Text(text()?),
                Kind::Domain(inner) => return Self::from_sql(inner, raw),
                Kind::Array(inner) => Value::Text(array(inner, raw)?),
                _ => return Err(format!("this host reads no {said}").into()),
            },
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

/// `numeric` in its binary form: count, weight, sign, scale, and digits in base 10,000; see
/// `numeric_recv` in PostgreSQL's src/backend/utils/adt/numeric.c.
fn numeric(raw: &[u8]) -> Result<String, BoxError> {
    let words: Vec<u16> = raw
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes))
        .collect();
    let [_, weight, sign, scale, digits @ ..] = words.as_slice() else {
        return Err("a short numeric".into());
    };
    match sign {
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        _ => {}
    }
    let weight = i32::from(i16::from_be_bytes(weight.to_be_bytes()));
    let digit = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut text = if *sign == 0x4000 { "-".to_owned() } else { String::new() };
    text.push_str(&digit(weight.max(0)).to_string());
    for place in (0..weight.max(0)).rev() {
        text.push_str(&format!("{:04}", digit(place)));
    }
    if *scale > 0 {
        let places = (i32::from(*scale) + 3) / 4;
        let fraction: String = (1..=places).map(|place| format!("{:04}", digit(-place))).collect();
        text.push('.');
        text.push_str(fraction.get(..usize::from(*scale)).unwrap_or(&fraction));
    }
    Ok(text)
}

/// Days since 2000-01-01 as a date; Howard Hinnant's `civil_from_days`.
fn date(days: i32) -> String {
    match days {
        i32::MAX => return "infinity".to_owned(),
        i32::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let days = i64::from(days) + 10_957 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// An array of one dimension, as the server would write it.
fn array(of: &Type, raw: &[u8]) -> Result<String, BoxError> {
    let array = postgres_protocol::types::array_from_sql(raw)?;
    if fallible_iterator::FallibleIterator::count(array.dimensions())? > 1 {
        return Err("this host reads arrays of one dimension".into());
    }
    let mut elements = Vec::new();
    let mut values = array.values();
    while let Some(value) = fallible_iterator::FallibleIterator::next(&mut values)? {
        elements.push(
            match value.map(|raw| Cell::from_sql(of, raw)).transpose()?.map(|cell| cell.0) {
                None => "NULL".to_owned(),
                Some(Value::Bool(value)) => if value { "t" } else { "f" }.to_owned(),
                Some(Value::Integer(value)) => value.to_string(),
                Some(Value::Float(value)) => value.to_string(),
                Some(Value::Text(text) | Value::Uuid(text) | Value::Json(text)) => {
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                }
                Some(_) => return Err(format!("this host reads no array of {of}").into()),
            },
        );
    }
    Ok(format!("{{{}}}", elements.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_are_written_as_the_server_writes_them() {
        let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        for (words, text) in [
            (vec![0, 0, 0, 0], "0"),
            (vec![0, 0, 0, 2], "0.00"),
            (vec![2, 1, 0, 0, 1, 2345], "12345"),
            (vec![1, 1, 0, 0, 1], "10000"),
            (vec![3, 1, 0x4000, 3, 1, 2345, 6780], "-12345.678"),
            (vec![1, 0xFFFF, 0, 4, 15], "0.0015"),
            (vec![1, 0xFFFE, 0, 6, 100], "0.000001"),
            (vec![0, 0, 0xC000, 0], "NaN"),
        ] {
            assert_eq!(numeric(&bytes(&words)).unwrap(), text);
        }
        for (days, text) in [
            (0, "2000-01-01"),
            (-1, "1999-12-31"),
            (9_822, "2026-11-22"),
            (59, "2000-02-29"),
        ] {
            assert_eq!(date(days), text);
        }
    }
}

//! Dates and times of `spin:postgres`, which are tuples; without a time zone they are taken as UTC.

use jiff::{
    Timestamp,
    civil::{self, DateTime},
    tz::TimeZone,
};

/// Year, month, day.
pub(super) type Date = (i32, u8, u8);
/// Hour, minute, second, nanosecond.
pub(super) type Time = (u8, u8, u8, u32);
/// Both.
pub(super) type Moment = (i32, u8, u8, u8, u8, u8, u32);

/// `2026-11-22`, as PostgreSQL writes a `date`.
pub(super) fn read_date(text: &str) -> Option<Date> {
    let date: civil::Date = text.parse().ok()?;
    Some((date.year().into(), unsigned(date.month()), unsigned(date.day())))
}

/// `16:25:00.5`, as PostgreSQL writes a `time`.
pub(super) fn read_time(text: &str) -> Option<Time> {
    let time: civil::Time = text.parse().ok()?;
    Some(of_time(time))
}

/// From microseconds since 1970.
pub(super) fn of_micros(micros: i64) -> Option<Moment> {
    let moment = Timestamp::from_microsecond(micros)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    let (date, (hour, minute, second, nanosecond)) = (moment.date(), of_time(moment.time()));
    Some((
        date.year().into(),
        unsigned(date.month()),
        unsigned(date.day()),
        hour,
        minute,
        second,
        nanosecond,
    ))
}

pub(super) fn write_date((year, month, day): Date) -> Result<String, String> {
    Ok(date(year, month, day)?.to_string())
}

pub(super) fn write_time((hour, minute, second, nanosecond): Time) -> Result<String, String> {
    Ok(time(hour, minute, second, nanosecond)?.to_string())
}

/// To microseconds since 1970; what is finer is cut off.
pub(super) fn to_micros((year, month, day, hour, minute, second, nanosecond): Moment) -> Result<i64, String> {
    let moment = DateTime::from_parts(date(year, month, day)?, time(hour, minute, second, nanosecond)?);
    let zoned = moment.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_microsecond())
}

fn date(year: i32, month: u8, day: u8) -> Result<civil::Date, String> {
    let parts = (i16::try_from(year), i8::try_from(month), i8::try_from(day));
    let date = match parts {
        (Ok(year @ 1..), Ok(month), Ok(day)) => civil::Date::new(year, month, day).ok(),
        _ => None,
    };
    date.ok_or_else(|| format!("{year}-{month}-{day} is no date between the years 1 and 9999"))
}

fn time(hour: u8, minute: u8, second: u8, nanosecond: u32) -> Result<civil::Time, String> {
    let parts = (
        i8::try_from(hour),
        i8::try_from(minute),
        i8::try_from(second),
        i32::try_from(nanosecond),
    );
    let time = match parts {
        (Ok(hour), Ok(minute), Ok(second), Ok(nanosecond)) => civil::Time::new(hour, minute, second, nanosecond).ok(),
        _ => None,
    };
    time.ok_or_else(|| format!("{hour}:{minute}:{second} and {nanosecond} ns are no time of a day"))
}

fn of_time(time: civil::Time) -> Time {
    (
        unsigned(time.hour()),
        unsigned(time.minute()),
        unsigned(time.second()),
        time.subsec_nanosecond().unsigned_abs(),
    )
}

fn unsigned(value: i8) -> u8 {
    value.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_there_and_back() {
        let moment = (2026, 11, 22, 16, 25, 1, 123_456_000);
        let micros = to_micros(moment).unwrap();
        assert_eq!(micros, 1_795_364_701_123_456);
        assert_eq!(of_micros(micros), Some(moment));
        assert_eq!(of_micros(-1), Some((1969, 12, 31, 23, 59, 59, 999_999_000)));
        assert_eq!(of_micros(i64::MAX), None, "infinity");
        assert_eq!(read_date(&write_date((33, 2, 1)).unwrap()), Some((33, 2, 1)));
        assert_eq!(
            read_time(&write_time((1, 2, 3, 4_000)).unwrap()),
            Some((1, 2, 3, 4_000))
        );
    }

    #[test]
    fn what_is_no_date_and_no_time_is_said_to_be_none() {
        assert!(write_date((2026, 2, 29)).is_err());
        assert!(write_date((0, 1, 1)).is_err());
        assert!(write_date((i32::MAX, 1, 1)).is_err());
        assert!(write_time((24, 0, 0, 0)).is_err());
        assert!(write_time((0, 0, 0, u32::MAX)).is_err());
        assert!(to_micros((2026, 13, 1, 0, 0, 0, 0)).is_err());
        assert_eq!(read_date("0044-03-15 BC"), None);
        assert_eq!(read_date("infinity"), None);
    }
}

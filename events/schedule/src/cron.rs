//! The five fields of a cron line, in UTC: `0 3 * * *` is three o'clock every night.
//!
//! Minutes, hours, days of the month, months, days of the week (0 and 7 are Sunday); `*`, numbers,
//! ranges `1-5`, steps `*/15`, lists `1,15`, and the names of months and days. As everywhere, when both
//! fields of days are restricted, either may hold.

use std::str::FromStr;

use jiff::{
    Timestamp, ToSpan as _,
    civil::{DateTime, time},
    tz::TimeZone,
};

/// How far ahead is looked for the next moment: `0 0 29 2 *` comes every four years, once in eight.
const YEARS_MAX: i16 = 9;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Why a text is no cron line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is no cron line: {reason}")]
pub struct Error {
    line: String,
    reason: String,
}

/// When something is done, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day of the month and a day of the week are both asked for: then either will do.
    either: bool,
}

impl Cron {
    /// The line as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment after `now`. None for a day that never comes, like the 30th of February; such a
    /// line cannot be read.
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let start = now.to_zoned(TimeZone::UTC).datetime();
        let mut at = start
            .date()
            .at(start.hour(), start.minute(), 0, 0)
            .checked_add(1.minute())
            .ok()?;
        let last_year = start.year().saturating_add(YEARS_MAX);
        while at.year() <= last_year {
            at = if !has(self.months, at.month()) {
                next_month(at)?
            } else if !self.is_day(at) {
                at.date().tomorrow().ok()?.to_datetime(time(0, 0, 0, 0))
            } else if !has(self.hours, at.hour()) {
                at.date().at(at.hour(), 0, 0, 0).checked_add(1.hour()).ok()?
            } else if !has(self.minutes, at.minute()) {
                at.checked_add(1.minute()).ok()?
            } else {
                return Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp());
            };
        }
        None
    }

    fn is_day(&self, at: DateTime) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.either { day || weekday } else { day && weekday }
    }
}

fn next_month(at: DateTime) -> Option<DateTime> {
    let first = at.date().first_of_month().checked_add(1.month()).ok()?;
    Some(first.to_datetime(time(0, 0, 0, 0)))
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set & (1 << value) != 0)
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error {
            line: line.chars().take(64).collect(),
            reason,
        };
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let Ok([minutes, hours, days, months, weekdays]) = <[&str; 5]>::try_from(fields) else {
            return Err(wrong(
                "expected five fields: minute, hour, day of the month, month, day of the week".to_owned(),
            ));
        };
        let mut cron = Self {
            text: [minutes, hours, days, months, weekdays].join(" "),
            minutes: set(minutes, 0, 59, &[]).map_err(wrong)?,
            hours: set(hours, 0, 23, &[]).map_err(wrong)?,
            days: set(days, 1, 31, &[]).map_err(wrong)?,
            months: set(months, 1, 12, &MONTHS).map_err(wrong)?,
            weekdays: set(weekdays, 0, 7, &DAYS).map_err(wrong)?,
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        cron.weekdays |= cron.weekdays >> 7 & 1;
        if cron.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(wrong("there is no such day".to_owned()));
        }
        Ok(cron)
    }
}

/// The values of one field, as bits.
fn set(field: &str, lowest: u32, highest: u32, names: &[&str]) -> Result<u64, String> {
    let mut values = 0_u64;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(step @ 1..=59)) => step,
            Some(_) => return Err(format!("in `{part}`, a step is a number from 1 to 59")),
        };
        let value = |text: &str| value(text, lowest, highest, names);
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (lowest, highest),
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/15` begins at 5 and goes on to the end.
            None if step > 1 => (value(range)?, highest),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err(format!("in `{part}`, {from} comes after {to}"));
        }
        let mut at = from;
        while at <= to {
            values |= 1 << at;
            at += step;
        }
    }
    Ok(values)
}

fn value(text: &str, lowest: u32, highest: u32, names: &[&str]) -> Result<u32, String> {
    let name = names
        .iter()
        .zip(lowest..)
        .find(|(name, _)| text.eq_ignore_ascii_case(name));
    if let Some((_, value)) = name {
        return Ok(value);
    }
    let is_number = !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(value) if is_number && (lowest..=highest).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is not between {lowest} and {highest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str, now: &str) -> String {
        let cron: Cron = line.parse().unwrap();
        cron.after(now.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_moment_is_the_first_that_fits_and_never_now() {
        for (line, now, expected) in [
            ("0 3 * * *", "2026-11-22T02:59:59Z", "2026-11-22T03:00:00Z"),
            ("0 3 * * *", "2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z"),
            ("*/15 * * * *", "2026-11-22T03:07:30Z", "2026-11-22T03:15:00Z"),
            ("5/20 * * * *", "2026-11-22T03:46:00Z", "2026-11-22T04:05:00Z"),
            ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // There is no leap year in 2100.
            ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
            // The 22nd of November 2026 is a Sunday.
            ("0 9 * * mon-fri", "2026-11-22T00:00:00Z", "2026-11-23T09:00:00Z"),
            ("0 9 * * 7", "2026-11-22T00:00:00Z", "2026-11-22T09:00:00Z"),
            ("0 9 * * SUN", "2026-11-22T10:00:00Z", "2026-11-29T09:00:00Z"),
            ("0 9 1 jan *", "2026-11-22T10:00:00Z", "2027-01-01T09:00:00Z"),
            // Both days are restricted: either will do.
            ("0 0 13 * fri", "2026-11-22T00:00:00Z", "2026-11-27T00:00:00Z"),
            ("0 0 13 * fri", "2026-12-12T00:00:00Z", "2026-12-13T00:00:00Z"),
            ("0,30 8-10,20 * * *", "2026-11-22T10:30:00Z", "2026-11-22T20:00:00Z"),
        ] {
            assert_eq!(next(line, now), expected, "{line} after {now}");
        }
    }

    #[test]
    fn what_is_no_cron_line_is_an_error_that_says_why() {
        for (line, says) in [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("0 3 * * * *", "five fields"),
            ("@daily", "five fields"),
            ("60 * * * *", "`60` is not between 0 and 59"),
            ("* 24 * * *", "`24`"),
            ("* * 0 * *", "`0` is not between 1 and 31"),
            ("* * * 13 *", "`13`"),
            ("* * * * 8", "`8`"),
            ("*/0 * * * *", "a step"),
            ("*/x * * * *", "a step"),
            ("5-1 * * * *", "5 comes after 1"),
            ("+5 * * * *", "`+5`"),
            ("1,,2 * * * *", "``"),
            ("* * * foo *", "`foo`"),
            ("0 0 30 2 *", "no such day"),
            ("99999999999999999999 * * * *", "is not between"),
        ] {
            let error = line.parse::<Cron>().unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}

//! Reading times as Go's `time.Parse` does with the layouts of RFC 3339, which is laxer than the RFC: hours of one digit, fractions after
//! a comma, and offsets of 24 hours.

use super::Moment;
use crate::field::quote;
use jiff::SignedDuration;
use jiff::civil::DateTime;

/// A layout of Go's, which errors name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// With a fraction or without one.
    Seconds,
    /// With a fraction of six digits.
    Micros,
}

impl Layout {
    fn text(self) -> &'static str {
        match self {
            Self::Seconds => "2006-01-02T15:04:05Z07:00",
            Self::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

const FRACTION: &str = ".000000";
const ZONE: &str = "Z07:00";

pub(super) fn parse(text: &str, layout: Layout) -> Result<Moment, String> {
    let mut reader = Reader {
        text,
        layout,
        rest: text,
    };
    let year = reader.digits("2006", 4)?;
    let month = reader.after('-')?.digits("01", 2)?;
    reader.within("month", month, 1..=12)?;
    let day = reader.after('-')?.digits("02", 2)?;
    let hour = reader.after('T')?.hour()?;
    reader.within("hour", hour, 0..=23)?;
    let minute = reader.after(':')?.digits("04", 2)?;
    reader.within("minute", minute, 0..=59)?;
    let second = reader.after(':')?.digits("05", 2)?;
    reader.within("second", second, 0..=59)?;
    let nanoseconds = reader.fraction()?;
    let offset = reader.zone()?;
    if !reader.rest.is_empty() {
        return Err(reader.refused(&format!("extra text: {}", quote(reader.rest))));
    }
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|number| number as i8);
    let local = DateTime::new(year as i16, month, day, hour, minute, second, nanoseconds)
        .map_err(|_| reader.refused("day out of range"))?;
    let time = local.checked_sub(SignedDuration::from_secs(offset)).ok();
    // Go would keep them, and not be able to write them as JSON.
    let time = time.filter(|time| (0..=9999).contains(&time.year()));
    time.map(Moment)
        .ok_or_else(|| reader.refused("year out of range"))
}

struct Reader<'t> {
    text: &'t str,
    layout: Layout,
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// What isn't as an element of the layout.
    fn unlike(&self, element: &str) -> String {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(self.layout.text()),
            quote(self.rest),
            quote(element)
        )
    }

    fn refused(&self, why: &str) -> String {
        format!("parsing time {}: {why}", quote(self.text))
    }

    fn within(&self, what: &str, number: i64, range: std::ops::RangeInclusive<i64>) -> Result<(), String> {
        if range.contains(&number) {
            return Ok(());
        }
        Err(self.refused(&format!("{what} out of range")))
    }

    /// Takes a character that the layout has between two elements.
    fn after(&mut self, literal: char) -> Result<&mut Self, String> {
        self.rest = self
            .rest
            .strip_prefix(literal)
            .ok_or_else(|| self.unlike(&literal.to_string()))?;
        Ok(self)
    }

    /// Takes what begins with so many bytes that are digits.
    fn taken(&mut self, count: usize) -> Option<&'t str> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| {
            self.rest = rest;
            digits
        })
    }

    fn digits(&mut self, element: &str, count: usize) -> Result<i64, String> {
        let number = self.taken(count).and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| self.unlike(element))
    }

    /// One digit or two.
    fn hour(&mut self) -> Result<i64, String> {
        let digits = self.taken(2).or_else(|| self.taken(1));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| self.unlike("15"))
    }

    /// Nanoseconds; digits beyond them are dropped.
    fn fraction(&mut self) -> Result<i32, String> {
        let begun = self.rest;
        let mark = begun.strip_prefix(['.', ',']);
        let count = mark.map_or(0, |rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            match self.layout {
                Layout::Seconds => digits,
                Layout::Micros => digits.min(6),
            }
        });
        match self.layout {
            Layout::Seconds if count == 0 => return Ok(0),
            Layout::Micros if count != 6 => return Err(self.unlike(FRACTION)),
            Layout::Seconds | Layout::Micros => {}
        }
        self.rest = &begun[1 + count..];
        let digits = begun[1..=count].bytes().chain(std::iter::repeat(b'0')).take(9);
        Ok(digits.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')))
    }

    /// Seconds east of Greenwich.
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let begun = self.rest;
        let wrong = |reader: &Self| {
            Reader {
                rest: begun,
                ..*reader
            }
            .unlike(ZONE)
        };
        let Some(b"+" | b"-") = begun.as_bytes().get(..1) else {
            return Err(wrong(self));
        };
        let sign = if begun.starts_with('-') { -1 } else { 1 };
        self.rest = &begun[1..];
        let hours = self.digits(ZONE, 2).map_err(|_| wrong(self))?;
        self.rest = self.rest.strip_prefix(':').ok_or_else(|| wrong(self))?;
        let minutes = self.digits(ZONE, 2).map_err(|_| wrong(self))?;
        self.within("time zone offset hour", hours, 0..=24)?;
        self.within("time zone offset minute", minutes, 0..=60)?;
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{format_micro_time, parse_micro_time, parse_time};
    use proptest::prelude::*;

    /// As Go 1.27 has them.
    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("2024-12-31T23:59:59Z", Ok("2024-12-31T23:59:59.000000Z")),
            (
                "2024-12-31T23:59:59.123456789123Z",
                Ok("2024-12-31T23:59:59.123456Z"),
            ),
            ("2024-12-31T23:59:59,5Z", Ok("2024-12-31T23:59:59.500000Z")),
            ("2024-12-31T5:00:00Z", Ok("2024-12-31T05:00:00.000000Z")),
            ("2024-12-31T23:00:00+24:00", Ok("2024-12-30T23:00:00.000000Z")),
            ("2024-12-31T23:00:00-01:60", Ok("2025-01-01T01:00:00.000000Z")),
            ("2024-12-31T23:59:60Z", Err("second out of range")),
            ("2024-12-31T24:00:00Z", Err("hour out of range")),
            ("2024-12-31T12:60:00Z", Err("minute out of range")),
            ("2024-13-31T12:00:00Z", Err("month out of range")),
            ("2024-02-30T12:00:00Z", Err("day out of range")),
            ("2024-02-00T12:00:00Z", Err("day out of range")),
            (
                "2024-12-31T12:00:00+25:00",
                Err("time zone offset hour out of range"),
            ),
            (
                "2024-12-31T12:00:00+01:61",
                Err("time zone offset minute out of range"),
            ),
            ("2024-12-31T12:00:00Zx", Err("extra text: \"x\"")),
            ("0000-01-01T00:00:00+01:00", Err("year out of range")),
            ("9999-12-31T23:59:59-01:00", Err("year out of range")),
            (
                "2024-12-31T12:00:00",
                Err("as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\""),
            ),
            (
                "2024-12-31T12:00:00+1:00",
                Err("cannot parse \"+1:00\" as \"Z07:00\""),
            ),
            ("2024-12-31T12:00:00.Z", Err("cannot parse \".Z\" as \"Z07:00\"")),
            (
                "2024-1-31T12:00:00Z",
                Err("cannot parse \"1-31T12:00:00Z\" as \"01\""),
            ),
            (
                "2024-12-31t12:00:00Z",
                Err("cannot parse \"t12:00:00Z\" as \"T\""),
            ),
            ("2024-12-31T12:0:00Z", Err("cannot parse \"0:00Z\" as \"04\"")),
            ("20\u{f6}4-12-31T12:00:00Z", Err("as \"2006\"")),
        ] {
            match (parse_time(text), expected) {
                (Ok(time), Ok(expected)) => assert_eq!(format_micro_time(time), expected, "{text}"),
                (Err(error), Err(end)) => assert!(
                    error.starts_with(&format!("parsing time {}", crate::field::quote(text)))
                        && error.ends_with(end),
                    "{text}: {error}"
                ),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        for (text, expected) in [
            ("2024-12-31T23:59:59.123456Z", true),
            ("2024-12-31T23:59:59,123456+00:00", true),
            ("2024-12-31T23:59:59Z", false),
            ("2024-12-31T23:59:59.12345Z", false),
            ("2024-12-31T23:59:59.1234567Z", false),
        ] {
            assert_eq!(parse_micro_time(text).is_ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}", almost in "[0-9]{4}-[0-9]{1,2}-[0-9]{2}T[0-9]{1,2}:[0-9]{2}:[0-9]{2}([.,][0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2}|)") {
            for text in [&text, &almost] {
                let _ = parse_micro_time(text);
                if let Ok(time) = parse_time(text) {
                    prop_assert_eq!(parse_micro_time(&format_micro_time(time)).unwrap().to_unix().0, time.to_unix().0);
                }
            }
        }
    }
}

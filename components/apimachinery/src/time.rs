//! Timestamps and durations as the API writes them.

mod rfc3339;

use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rfc3339::Layout;

/// A time of the years that Go reads and writes, UTC. A [`Timestamp`] ends 26 hours before the year 9999 does, and its
/// last second stands for "never" in many an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime);

impl Moment {
    /// Seconds since 1970, and nanoseconds that are counted forward from them; `None` beyond the year 9999.
    pub fn from_unix(seconds: i64, nanoseconds: i32) -> Option<Self> {
        let since = SignedDuration::from_secs(seconds).checked_add(SignedDuration::new(0, nanoseconds))?;
        epoch().checked_add(since).ok().map(Self)
    }

    /// Seconds since 1970, and nanoseconds that are counted forward from them.
    pub fn to_unix(self) -> (i64, u64) {
        let since = self.0.duration_since(epoch()).as_nanos();
        let seconds = since.div_euclid(1_000_000_000);
        let fraction = since.rem_euclid(1_000_000_000);
        (
            i64::try_from(seconds).unwrap_or(i64::MAX),
            u64::try_from(fraction).unwrap_or_default(),
        )
    }

    /// As a time to count with, if it is one.
    pub fn timestamp(self) -> Option<Timestamp> {
        TimeZone::UTC.to_timestamp(self.0).ok()
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(TimeZone::UTC.to_datetime(time))
    }
}

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

/// A timestamp to the second, UTC: `2026-01-02T03:04:05Z`.
pub fn format_time(time: impl Into<Moment>) -> String {
    time.into().0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A timestamp to the microsecond, UTC.
pub fn format_micro_time(time: impl Into<Moment>) -> String {
    let Moment(time) = time.into();
    let micros = time.subsec_nanosecond() / 1000;
    format!("{}.{micros:06}Z", time.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// Parses RFC 3339. The error reads as Go's.
pub fn parse_time(text: &str) -> Result<Moment, String> {
    rfc3339::parse(text, Layout::Seconds)
}

/// Parses RFC 3339 with microseconds. The error reads as Go's.
pub fn parse_micro_time(text: &str) -> Result<Moment, String> {
    rfc3339::parse(text, Layout::Micros)
}

/// A Go duration (`1h30m`, `1.5s`, `-2ms`) in nanoseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", crate::field::quote(text));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            "" => {
                return Err(format!(
                    "time: missing unit in duration {}",
                    crate::field::quote(text)
                ));
            }
            _ => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    crate::field::quote(unit),
                    crate::field::quote(text)
                ));
            }
        };
        total += number * scale;
        rest = after;
    }
    if total > i64::MAX as f64 {
        Err(invalid())
    } else {
        Ok((sign * total).round() as i64)
    }
}

/// How long ago, in the short form that tables show: `5s`, `3m20s`, `2d4h`, `1y30d`.
pub fn human_duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: char, small: i64, sub: char| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{sub}")
        }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_to_their_form() {
        let time = parse_time("2026-01-02T05:04:05.678+02:00").unwrap();
        assert_eq!(format_time(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro_time(time), "2026-01-02T03:04:05.678000Z");
        for (text, end) in [
            ("", "cannot parse \"\" as \"2006\""),
            ("changed", "cannot parse \"changed\" as \"2006\""),
            ("2026-01-02", "cannot parse \"\" as \"T\""),
        ] {
            let error = parse_time(text).unwrap_err();
            assert!(error.ends_with(end), "{error}");
        }
        for (text, whole, unix) in [
            // Beyond what a timestamp can be.
            (
                "9999-12-31T23:59:59Z",
                "9999-12-31T23:59:59Z",
                (253_402_300_799, 0),
            ),
            (
                "0000-01-01T00:00:00Z",
                "0000-01-01T00:00:00Z",
                (-62_167_219_200, 0),
            ),
            (
                "1969-12-31T23:59:59.5Z",
                "1969-12-31T23:59:59Z",
                (-1, 500_000_000),
            ),
            ("1970-01-01T00:30:00-00:30", "1970-01-01T01:00:00Z", (3600, 0)),
        ] {
            let time = parse_time(text).unwrap();
            assert_eq!((format_time(time).as_str(), time.to_unix()), (whole, unix));
            assert_eq!(Moment::from_unix(unix.0, unix.1 as i32), Some(time));
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m1.5s"), Ok(5_401_500_000_000));
        assert!(parse_duration("5").is_err() && parse_duration("x").is_err());
        for (seconds, text) in [
            (-5, "<invalid>"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (4 * 3600 + 60, "4h1m"),
            (187_200, "2d4h"),
            (400 * 86400, "400d"),
            (3000 * 86400, "8y"),
        ] {
            assert_eq!(human_duration(seconds), text);
        }
    }
}

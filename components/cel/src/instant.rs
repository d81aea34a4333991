//! Points in time as expressions have them: Go's, of the years 1 to 9999, with the offset that they were written with.
use apimachinery::time::{Moment, parse_time};
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use std::cmp::Ordering;
use std::fmt;

/// The first and last second, counted from 1970.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A point in time. Those of different offsets may be equal.
#[derive(Clone, Copy, Debug)]
pub struct Instant {
    /// Since 1970.
    seconds: i64,
    nanoseconds: i32,
    /// Seconds to the east.
    offset: i32,
}

impl Instant {
    /// In UTC; `None` outside of the years that there are.
    pub fn from_unix(seconds: i64, nanoseconds: i32) -> Option<Self> {
        Self {
            seconds,
            nanoseconds,
            offset: 0,
        }
        .within()
    }

    fn within(self) -> Option<Self> {
        (FIRST..=LAST).contains(&self.seconds).then_some(self)
    }

    /// RFC 3339; the inner `None` is for times before the year 1 and after 9999.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let (seconds, nanoseconds) = parse_time(text)?.to_unix();
        let instant = Self {
            seconds,
            nanoseconds: i32::try_from(nanoseconds).unwrap_or_default(),
            offset: offset(text),
        };
        Ok(instant.within())
    }

    /// Seconds since 1970.
    pub fn as_second(self) -> i64 {
        self.seconds
    }

    pub fn checked_add(self, by: SignedDuration) -> Option<Self> {
        let sum = SignedDuration::new(self.seconds, self.nanoseconds).checked_add(by)?;
        let back = i64::from(sum.subsec_nanos() < 0);
        Self {
            seconds: sum.as_secs() - back,
            nanoseconds: sum.subsec_nanos() + i32::try_from(back).unwrap_or_default() * 1_000_000_000,
            offset: self.offset,
        }
        .within()
    }

    pub fn duration_since(self, other: Self) -> SignedDuration {
        SignedDuration::new(self.seconds, self.nanoseconds)
            .saturating_sub(SignedDuration::new(other.seconds, other.nanoseconds))
    }

    /// What a calendar and a clock show at an offset; `None` after the year 9999.
    fn at(self, offset: i32) -> Option<DateTime> {
        let since = SignedDuration::new(self.seconds, self.nanoseconds)
            .checked_add(SignedDuration::from_secs(i64::from(offset)))?;
        date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok()
    }

    /// What they show in a zone.
    pub fn in_zone(self, zone: &TimeZone) -> Option<DateTime> {
        // Zones have no rules for the last day that there is.
        let known = Moment::from_unix(self.seconds, self.nanoseconds)
            .and_then(Moment::timestamp)
            .unwrap_or(jiff::Timestamp::MAX);
        self.at(zone.to_offset(known).seconds())
    }
}

/// The offset that a time was written with.
fn offset(text: &str) -> i32 {
    let Some((_, zone)) = text
        .split_at_checked(text.len().saturating_sub(6))
        .filter(|(_, zone)| zone.starts_with(['+', '-']))
    else {
        return 0;
    };
    let number = |range: std::ops::Range<usize>| zone.get(range)?.parse::<i32>().ok();
    match (number(1..3), number(4..6)) {
        (Some(hours), Some(minutes)) if zone.starts_with('-') => -(hours * 3600 + minutes * 60),
        (Some(hours), Some(minutes)) => hours * 3600 + minutes * 60,
        _ => 0,
    }
}

impl From<jiff::Timestamp> for Instant {
    fn from(time: jiff::Timestamp) -> Self {
        let back = i64::from(time.subsec_nanosecond() < 0);
        Self {
            seconds: time.as_second() - back,
            nanoseconds: time.subsec_nanosecond() + i32::try_from(back).unwrap_or_default() * 1_000_000_000,
            offset: 0,
        }
    }
}

impl fmt::Display for Instant {
    /// RFC 3339, with as many digits of the second as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(local) = self.at(self.offset) else {
            // Only Go can write a year of five digits, where an offset leads there.
            return write!(f, "{}Z", self.at(0).unwrap_or_default());
        };
        write!(f, "{}", local.strftime("%Y-%m-%dT%H:%M:%S"))?;
        if self.nanoseconds != 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl PartialEq for Instant {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Instant {}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}

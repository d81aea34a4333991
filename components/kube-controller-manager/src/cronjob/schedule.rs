//! Cron expressions with five fields.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

/// How far into the future a time is looked for; 29 February on a given weekday comes within it.
const HORIZON_DAYS: i32 = 366 * 8;

/// A parsed expression: bit sets of minutes, hours, days of month, months and days of week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
    zone: TimeZone,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// `zone` is a name of the time zone database; none is UTC.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, String> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => {
                TimeZone::get(name).map_err(|error| format!("unknown time zone {name:?}: {error}"))?
            }
        };
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "expected exactly 5 fields, found {}: {text}",
                fields.len()
            ));
        };
        let any = |field: &str| field.starts_with('*') || field.starts_with('?');
        let week = parse_field(weekdays, 0, 7, &WEEKDAYS, 0)?;
        Ok(Self {
            minutes: parse_field(minutes, 0, 59, &[], 0)?,
            hours: parse_field(hours, 0, 23, &[], 0)?,
            days: parse_field(days, 1, 31, &[], 0)?,
            months: parse_field(months, 1, 12, &MONTHS, 1)?,
            // Both 0 and 7 are Sunday.
            weekdays: (week | (week >> 7)) & 0x7f,
            any_day: any(days),
            any_weekday: any(weekdays),
            zone,
        })
    }

    fn is_day(&self, time: &Zoned) -> bool {
        let weekday = match time.weekday() {
            Weekday::Sunday => 0,
            other => other.to_monday_one_offset() as u64,
        };
        let day = self.days & (1 << time.day()) != 0;
        let week = self.weekdays & (1 << weekday) != 0;
        // With both restricted either is enough.
        let fits = if self.any_day || self.any_weekday {
            day && week
        } else {
            day || week
        };
        fits && self.months & (1 << time.month()) != 0
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(self.zone.clone());
        let mut day = start.start_of_day().ok()?;
        for _ in 0..HORIZON_DAYS {
            if self.is_day(&day) {
                for hour in (0..24).filter(|hour| self.hours & (1 << hour) != 0) {
                    for minute in (0..60).filter(|minute| self.minutes & (1 << minute) != 0) {
                        let Ok(time) = day.date().at(hour, minute, 0, 0).to_zoned(self.zone.clone()) else {
                            continue;
                        };
                        // A time that the clock skips does not come that day.
                        let exists = time.hour() == hour && time.minute() == minute;
                        if exists && time.timestamp() > after {
                            return Some(time.timestamp());
                        }
                    }
                }
            }
            day = day.checked_add(1.day()).ok()?.start_of_day().ok()?;
        }
        None
    }

    /// The last time after `since` and not after `until`, and how many there are (counted up to 101).
    pub fn most_recent(&self, since: Timestamp, until: Timestamp) -> (Option<Timestamp>, usize) {
        let (mut last, mut count, mut at) = (None, 0, since);
        while let Some(next) = self.next(at).filter(|next| *next <= until) {
            last = Some(next);
            count += 1;
            at = next;
            if count > 100 {
                // Too many to walk through: the last one is near the end.
                let day_before = until - 24.hours();
                if at < day_before {
                    at = day_before;
                }
                if count > 5000 {
                    break;
                }
            }
        }
        (last, count.min(101))
    }
}

fn parse_field(field: &str, low: u64, high: u64, names: &[&str], first: u64) -> Result<u64, String> {
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step: u64 = step
                    .parse()
                    .map_err(|_| format!("failed to parse int from {step}"))?;
                if step == 0 {
                    return Err(format!("step of range should be a positive number: {part}"));
                }
                (range, Some(step))
            }
            None => (part, None),
        };
        let number = |text: &str| -> Result<u64, String> {
            let lower = text.to_ascii_lowercase();
            if let Some(index) = names.iter().position(|name| *name == lower) {
                return Ok(index as u64 + first);
            }
            text.parse()
                .map_err(|_| format!("failed to parse int from {text}"))
        };
        let (start, end) = match range {
            "*" | "?" => (low, if names.len() == 7 { 6 } else { high }),
            _ => match range.split_once('-') {
                Some((start, end)) => (number(start)?, number(end)?),
                None => {
                    let start = number(range)?;
                    (start, if step.is_some() { high } else { start })
                }
            },
        };
        if start < low || end > high || start > end {
            return Err(format!("{part} is outside of {low} to {high}"));
        }
        let mut at = start;
        while at <= end {
            bits |= 1 << at;
            at += step.unwrap_or(1);
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn next_times() {
        for (schedule, after, want) in [
            ("*/5 * * * *", "2026-01-01T00:01:30Z", "2026-01-01T00:05:00Z"),
            ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("30 4 1,15 * 5", "2026-01-02T05:00:00Z", "2026-01-09T04:30:00Z"),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            (
                "0 12 * jan-mar mon",
                "2026-01-01T00:00:00Z",
                "2026-01-05T12:00:00Z",
            ),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ] {
            assert_eq!(
                Schedule::parse(schedule, None).unwrap().next(at(after)),
                Some(at(want)),
                "{schedule}"
            );
        }
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "5-1 * * * *",
        ] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert_eq!(
            Schedule::parse("0 0 30 2 *", None)
                .unwrap()
                .next(at("2026-01-01T00:00:00Z")),
            None
        );
    }

    #[test]
    fn missed_times_are_counted() {
        let schedule = Schedule::parse("0 * * * *", None).unwrap();
        let (last, count) = schedule.most_recent(at("2026-01-01T00:30:00Z"), at("2026-01-01T03:10:00Z"));
        assert_eq!((last, count), (Some(at("2026-01-01T03:00:00Z")), 3));
        let (last, count) = schedule.most_recent(at("2025-01-01T00:30:00Z"), at("2026-01-01T03:10:00Z"));
        assert_eq!((last, count), (Some(at("2026-01-01T03:00:00Z")), 101));
    }
}

//! When a cron job's next run is due, and which ones were missed.

use apimachinery::cron::{self, Cron, Times};
use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _, Zoned};

/// How far into the future a time is looked for; 29 February on a given weekday comes within it.
const HORIZON_DAYS: i32 = 366 * 8;

/// When jobs are due, by the clock of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// `zone` is a name of the time zone database; without, it is the one that stands before the fields, else UTC.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, String> {
        let (before, fields) = cron::split_zone(text);
        let zone = match zone.or(before) {
            None => TimeZone::UTC,
            Some(name) => {
                TimeZone::get(name).map_err(|error| format!("unknown time zone {name:?}: {error}"))?
            }
        };
        let cron = Cron::parse(fields)?;
        Ok(Self { cron, zone })
    }

    /// A time as RFC 3339 has it in the schedule's time zone.
    pub fn local(&self, time: Timestamp) -> String {
        match self.zone.to_offset(time) {
            Offset::UTC => time.to_string(),
            offset => time.display_with_offset(offset).to_string(),
        }
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.cron {
            Cron::At(times) => next(times, &self.zone, after),
            Cron::Every(seconds) => {
                let next = after.as_second().checked_add(*seconds)?;
                Timestamp::from_second(next).ok()
            }
        }
    }

    /// The last time after `since` and not after `until`, and how many there are (counted up to 101).
    pub fn most_recent(&self, since: Timestamp, until: Timestamp) -> (Option<Timestamp>, usize) {
        if let Cron::Every(seconds) = self.cron {
            let times = (until.as_second() - since.as_second()).max(0) / seconds;
            let last = Timestamp::from_second(since.as_second() + times * seconds).ok();
            let count = usize::try_from(times).unwrap_or(usize::MAX);
            return (last.filter(|_| times > 0), count.min(101));
        }
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

fn is_day(times: &Times, time: &Zoned) -> bool {
    let weekday = match time.weekday() {
        Weekday::Sunday => 0,
        other => other.to_monday_one_offset() as u64,
    };
    let day = times.days & (1 << time.day()) != 0;
    let week = times.weekdays & (1 << weekday) != 0;
    // With both restricted either is enough.
    let fits = if times.any_day || times.any_weekday {
        day && week
    } else {
        day || week
    };
    fits && times.months & (1 << time.month()) != 0
}

fn next(times: &Times, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let start = after.to_zoned(zone.clone());
    let mut day = start.start_of_day().ok()?;
    for _ in 0..HORIZON_DAYS {
        if is_day(times, &day) {
            for hour in (0..24).filter(|hour| times.hours & (1 << hour) != 0) {
                for minute in (0..60).filter(|minute| times.minutes & (1 << minute) != 0) {
                    let Ok(time) = day.date().at(hour, minute, 0, 0).to_zoned(zone.clone()) else {
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
            // A step makes a choice of days, so that either is enough.
            ("0 0 */10 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@every 90s", "2026-01-01T00:00:00.5Z", "2026-01-01T00:01:30Z"),
            (
                "CRON_TZ=Asia/Tokyo 0 9 * * *",
                "2026-01-01T00:30:00Z",
                "2026-01-02T00:00:00Z",
            ),
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
            "0 0 * * 7",
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
    fn times_are_told_in_their_zone() {
        let time: Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
        for (zone, expected) in [
            (None, "2026-07-01T10:00:00Z"),
            (Some("Etc/UTC"), "2026-07-01T10:00:00Z"),
            (Some("Europe/Amsterdam"), "2026-07-01T12:00:00+02:00"),
        ] {
            assert_eq!(Schedule::parse("0 * * * *", zone).unwrap().local(time), expected);
        }
    }

    #[test]
    fn missed_times_are_counted() {
        let schedule = Schedule::parse("0 * * * *", None).unwrap();
        let (last, count) = schedule.most_recent(at("2026-01-01T00:30:00Z"), at("2026-01-01T03:10:00Z"));
        assert_eq!((last, count), (Some(at("2026-01-01T03:00:00Z")), 3));
        let (last, count) = schedule.most_recent(at("2025-01-01T00:30:00Z"), at("2026-01-01T03:10:00Z"));
        assert_eq!((last, count), (Some(at("2026-01-01T03:00:00Z")), 101));
        let schedule = Schedule::parse("@every 7s", None).unwrap();
        let (last, count) = schedule.most_recent(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:20Z"));
        assert_eq!((last, count), (Some(at("2026-01-01T00:00:14Z")), 2));
        let (last, count) = schedule.most_recent(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:06Z"));
        assert_eq!((last, count), (None, 0));
    }
}

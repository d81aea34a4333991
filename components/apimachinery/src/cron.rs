//! Schedules of cron jobs, read as by the library that upstream reads them with (robfig/cron v3, `ParseStandard`), with
//! its messages.

use crate::time::parse_duration;

const SECOND: i64 = 1_000_000_000;

/// A field of a schedule: what it may hold, and names for numbers from the lowest on.
struct Range {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MINUTES: Range = Range {
    low: 0,
    high: 59,
    names: &[],
};
const HOURS: Range = Range {
    low: 0,
    high: 23,
    names: &[],
};
const DAYS: Range = Range {
    low: 1,
    high: 31,
    names: &[],
};
const MONTHS: Range = Range {
    low: 1,
    high: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Range = Range {
    low: 0,
    high: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cron {
    At(Times),
    /// `@every 1h30m`: seconds, at least 1.
    Every(i64),
}

/// The five fields; sets have a bit for each number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    pub minutes: u64,
    pub hours: u64,
    pub days: u64,
    pub months: u64,
    /// Sunday is 0.
    pub weekdays: u64,
    /// Days were left open: with both given, one of them is enough.
    pub any_day: bool,
    pub any_weekday: bool,
}

/// Takes the time zone off that may stand before the fields (`TZ=Asia/Tokyo 0 6 * * *`).
pub fn split_zone(schedule: &str) -> (Option<&str>, &str) {
    let zoned = schedule
        .strip_prefix("TZ=")
        .or_else(|| schedule.strip_prefix("CRON_TZ="));
    match zoned {
        Some(zoned) => {
            let (zone, rest) = zoned.split_once(' ').unwrap_or((zoned, ""));
            (Some(zone), rest.trim())
        }
        None => (None, schedule),
    }
}

impl Cron {
    /// Five fields, or a name for some; without a time zone.
    pub fn parse(schedule: &str) -> Result<Self, String> {
        if let Some(interval) = schedule.strip_prefix("@every ") {
            let interval = parse_duration(interval)
                .map_err(|why| format!("failed to parse duration {schedule}: {why}"))?;
            return Ok(Self::Every((interval / SECOND).max(1)));
        }
        let standing_for = match schedule {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if schedule.starts_with('@') => {
                return Err(format!("unrecognized descriptor: {schedule}"));
            }
            fields => fields,
        };
        let fields: Vec<&str> = standing_for.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "expected exactly 5 fields, found {}: [{}]",
                fields.len(),
                fields.join(" ")
            ));
        };
        let (minutes, _) = MINUTES.parse(minutes)?;
        let (hours, _) = HOURS.parse(hours)?;
        let (days, any_day) = DAYS.parse(days)?;
        let (months, _) = MONTHS.parse(months)?;
        let (weekdays, any_weekday) = WEEKDAYS.parse(weekdays)?;
        Ok(Self::At(Times {
            minutes,
            hours,
            days,
            months,
            weekdays,
            any_day,
            any_weekday,
        }))
    }
}

impl Range {
    /// The set that a list of ranges names, and whether it is left open.
    fn parse(&self, field: &str) -> Result<(u64, bool), String> {
        let (mut set, mut open) = (0, false);
        for part in field.split(',').filter(|part| !part.is_empty()) {
            let (numbers, any) = self.part(part)?;
            set |= numbers;
            open |= any;
        }
        Ok((set, open))
    }

    /// `*`, `5`, `1-5`, `*/2`, `1-5/2` or `5/2`, which goes on to the highest.
    fn part(&self, part: &str) -> Result<(u64, bool), String> {
        let steps: Vec<&str> = part.split('/').collect();
        let limits: Vec<&str> = steps[0].split('-').collect();
        let star = matches!(limits[0], "*" | "?");
        let (start, mut end) = if star {
            (self.low, self.high)
        } else {
            let start = self.number(limits[0])?;
            match limits[..] {
                [_] => (start, start),
                [_, end] => (start, self.number(end)?),
                _ => return Err(format!("too many hyphens: {part}")),
            }
        };
        let step = match steps[..] {
            [_] => 1,
            [_, step] => {
                if limits.len() == 1 {
                    end = self.high;
                }
                integer(step)?
            }
            _ => return Err(format!("too many slashes: {part}")),
        };
        let (low, high) = (self.low, self.high);
        if start < low {
            return Err(format!(
                "beginning of range ({start}) below minimum ({low}): {part}"
            ));
        }
        if end > high {
            return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {part}"
            ));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        let numbers = (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        // With a step it is a choice of days, and no longer open.
        Ok((
            numbers.fold(0, |set, number| set | 1 << number),
            star && step == 1,
        ))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_lowercase();
        let named = (self.low..).zip(self.names).find(|(_, name)| **name == lower);
        named.map_or_else(|| integer(text), |(number, _)| Ok(number))
    }
}

fn integer(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules_are_read_as_upstream_reads_them() {
        for (schedule, wrong) in [
            ("*/5 * * * *", ""),
            ("0 0 1 jan sun-sat", ""),
            ("0 8-18/2,20 * * MON", ""),
            ("@hourly", ""),
            ("@every 1h30m", ""),
            ("@reboot", "unrecognized descriptor: @reboot"),
            (
                "@every soon",
                "failed to parse duration @every soon: time: invalid duration \"soon\"",
            ),
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            (
                "a * * * *",
                "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax",
            ),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ] {
            let problem = Cron::parse(schedule).err().unwrap_or_default();
            assert_eq!(problem, wrong, "{schedule}");
        }
    }

    #[test]
    fn fields_name_sets() {
        let times = |schedule: &str| match Cron::parse(schedule) {
            Ok(Cron::At(times)) => times,
            other => panic!("{schedule}: {other:?}"),
        };
        assert_eq!(times("5/20 * * * *").minutes, 1 << 5 | 1 << 25 | 1 << 45);
        assert_eq!(times("0 0 * jan,MAR *").months, 1 << 1 | 1 << 3);
        assert_eq!(times("0 0 * * *").weekdays, 0x7f);
        for (schedule, open) in [
            ("0 0 * * 1", (true, false)),
            ("0 0 ? * ?", (true, true)),
            ("0 0 */2 * 1", (false, false)),
            ("0 0 */1 * 1,*", (true, true)),
        ] {
            let times = times(schedule);
            assert_eq!((times.any_day, times.any_weekday), open, "{schedule}");
        }
        for (every, seconds) in [("1h30m", 5400), ("1500ms", 1), ("10ms", 1), ("-1h", 1)] {
            assert_eq!(Cron::parse(&format!("@every {every}")), Ok(Cron::Every(seconds)));
        }
    }

    #[test]
    fn a_zone_stands_before_the_fields() {
        assert_eq!(split_zone("0 6 * * *"), (None, "0 6 * * *"));
        assert_eq!(
            split_zone("CRON_TZ=Asia/Tokyo  0 6 * * *"),
            (Some("Asia/Tokyo"), "0 6 * * *")
        );
        assert_eq!(split_zone("TZ=UTC"), (Some("UTC"), ""));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(@every |TZ=)?[-*/?,@ 0-9a-z.]{0,40}") {
            let (_, schedule) = split_zone(&text);
            let _ = Cron::parse(schedule);
        }
    }
}

//! Schedules of cron jobs, with the messages of the library that upstream reads them with.
use std::ops::RangeInclusive;

/// A field of a schedule: what it may hold, and names for numbers from the lowest on.
struct Field {
    range: RangeInclusive<u32>,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        range: 0..=59,
        names: &[],
    },
    Field {
        range: 0..=23,
        names: &[],
    },
    Field {
        range: 1..=31,
        names: &[],
    },
    Field {
        range: 1..=12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        range: 0..=6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Whether the text is a schedule: five fields, or a name for some.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    // A zone before the schedule is told about elsewhere.
    let schedule = if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        schedule.split_once(' ').map_or("", |(_, rest)| rest).trim()
    } else {
        schedule
    };
    if schedule.starts_with('@') {
        return named(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            range(part, field)?;
        }
    }
    Ok(())
}

fn named(schedule: &str) -> Result<(), String> {
    const NAMES: &[&str] = &[
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    if NAMES.contains(&schedule) {
        return Ok(());
    }
    match schedule.strip_prefix("@every ") {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => Err(format!(
            "failed to parse duration {schedule}: time: invalid duration {duration:?}"
        )),
        None => Err(format!("unrecognized descriptor: {schedule}")),
    }
}

/// `1h30m`, as Go reads it.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let counts = number.matches('.').count() <= 1 && number.bytes().any(|byte| byte.is_ascii_digit());
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| tail.starts_with(unit) && !(*unit == "m" && tail.starts_with("ms")));
        match unit {
            Some(unit) if counts => rest = &tail[unit.len()..],
            _ => return false,
        }
        any = true;
    }
    any
}

/// `*`, `5`, `1-5`, `*/2` or `1-5/2`.
fn range(part: &str, field: &Field) -> Result<(), String> {
    let steps: Vec<&str> = part.split('/').collect();
    let limits: Vec<&str> = steps[0].split('-').collect();
    let (low, high) = (*field.range.start(), *field.range.end());
    let (start, mut end) = if matches!(limits[0], "*" | "?") {
        (low, high)
    } else {
        let start = number(limits[0], field)?;
        match limits[..] {
            [_] => (start, start),
            [_, end] => (start, number(end, field)?),
            _ => return Err(format!("too many hyphens: {part}")),
        }
    };
    let step = match steps[..] {
        [_] => 1,
        [_, step] => {
            // A start with a step goes on to the end.
            if limits.len() == 1 {
                end = high;
            }
            integer(step)?
        }
        _ => return Err(format!("too many slashes: {part}")),
    };
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
    Ok(())
}

fn number(text: &str, field: &Field) -> Result<u32, String> {
    let lower = text.to_lowercase();
    let named = (*field.range.start()..)
        .zip(field.names)
        .find(|(_, name)| **name == lower);
    named.map_or_else(|| integer(text), |(number, _)| Ok(number))
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
            assert_eq!(check(schedule).err().unwrap_or_default(), wrong, "{schedule}");
        }
    }
}

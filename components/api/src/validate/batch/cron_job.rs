//! Cron jobs: when, in which time zone, and the jobs that are made.
use super::job;
use crate::validate::pod::Allowed;
use crate::validate::shared::{non_negative, one_of, selector_shown};
use crate::value::{at, text};
use apimachinery::cron::{self, Cron};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// A CronJob's name has at most this many characters: names of jobs are made of it and a time.
const MAX_NAME: usize = 52;

/// A cron job that is new, or was `old` before.
pub(super) fn check(old: Option<&Value>, new: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let spec = at(new, &["spec"]);
    let before = old.map(|old| at(old, &["spec"]));
    let mut errors = match text(spec, &["schedule"]) {
        "" => vec![Error::required(&path.child("schedule"), "")],
        schedule => self::schedule(before, spec, schedule, &path.child("schedule")),
    };
    errors.extend(non_negative(
        &path.child("startingDeadlineSeconds"),
        at(spec, &["startingDeadlineSeconds"]),
    ));
    // A zone that an older database had may stay.
    if before.is_none_or(|before| at(before, &["timeZone"]) != at(spec, &["timeZone"])) {
        let zone = at(spec, &["timeZone"]).as_str();
        errors.extend(zone.map_or_else(ErrorList::new, |zone| time_zone(zone, &path.child("timeZone"))));
    }
    match text(spec, &["concurrencyPolicy"]) {
        "" => errors.push(Error::required(&path.child("concurrencyPolicy"), "")),
        _ => errors.extend(one_of(
            &path.child("concurrencyPolicy"),
            at(spec, &["concurrencyPolicy"]),
            &["Allow", "Forbid", "Replace"],
        )),
    }
    errors.extend(template(
        at(spec, &["jobTemplate", "spec"]),
        allowed,
        &path.child("jobTemplate.spec"),
    ));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    if old.is_none() && meta::name(new).len() > MAX_NAME {
        errors.push(Error::invalid(
            &Path::new("metadata.name"),
            meta::name(new),
            format!("must be no more than {MAX_NAME} characters"),
        ));
    }
    errors
}

/// A zone before the fields was never meant to work, and stays where it was.
fn schedule(before: Option<&Value>, spec: &Value, schedule: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Err(why) = parse(schedule) {
        errors.push(Error::invalid(path, schedule, why));
    }
    if schedule.contains("TZ") {
        let had = before.is_some_and(|before| text(before, &["schedule"]).contains("TZ"));
        if !had {
            errors.push(Error::invalid(
                path,
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ));
        } else if !at(spec, &["timeZone"]).is_null() {
            errors.push(Error::invalid(
                path,
                schedule,
                "cannot use both timeZone field and TZ or CRON_TZ in schedule",
            ));
        }
    }
    errors
}

fn parse(schedule: &str) -> Result<Cron, String> {
    let (zone, fields) = cron::split_zone(schedule);
    if let Some(zone) = zone {
        if !schedule.contains(' ') {
            // What upstream says when its parser panics.
            return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned());
        }
        load(zone).map_err(|why| format!("provided bad location {zone}: {why}"))?;
    }
    Cron::parse(fields)
}

/// A part of a zone's name has at most this many characters.
const MAX_PART: usize = 14;

fn time_zone(zone: &str, path: &Path) -> ErrorList {
    if zone.is_empty() {
        return vec![Error::invalid(
            path,
            zone,
            "timeZone must be nil or non-empty string",
        )];
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.starts_with('-')
            && part.len() <= MAX_PART
            && part.bytes().all(plain)
    };
    if !zone.split('/').all(part) {
        return vec![Error::invalid(path, zone, format!("unknown time zone {zone}"))];
    }
    let mut errors = ErrorList::new();
    if zone.eq_ignore_ascii_case("Local") {
        errors.push(Error::invalid(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ));
    }
    if let Err(why) = load(zone) {
        errors.push(Error::invalid(path, zone, why));
    }
    errors
}

/// Why Go's `time.LoadLocation` wouldn't load the zone; it looks for the very name, in its case.
fn load(zone: &str) -> Result<(), String> {
    if matches!(zone, "" | "UTC" | "Local") {
        return Ok(());
    }
    if zone.contains("..") || zone.starts_with(['/', '\\']) {
        return Err("time: invalid location name".to_owned());
    }
    // The database here is asked in any case, and has a name for no zone that is no zone.
    let known = jiff::tz::TimeZone::get(zone)
        .is_ok_and(|found| found.iana_name() == Some(zone) && !found.is_unknown());
    if known {
        Ok(())
    } else {
        Err(format!("unknown time zone {zone}"))
    }
}

/// The jobs, whose selectors the server makes.
fn template(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = job::spec(spec, allowed, path);
    let selector = at(spec, &["selector"]);
    if selector.is_object() {
        errors.push(Error::invalid(
            &path.child("selector"),
            selector_shown(selector),
            "`selector` will be auto-generated",
        ));
    }
    if at(spec, &["manualSelector"]) == &Value::Bool(true) {
        errors.push(Error::not_supported(
            &path.child("manualSelector"),
            Value::Bool(true),
            &["nil", "false"],
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn zones_are_named_as_the_database_names_them() {
        const EXPLICIT: &str =
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        for (zone, wrong) in [
            ("UTC", vec![]),
            ("Europe/Berlin", vec![]),
            ("America/Argentina/Buenos_Aires", vec![]),
            ("Etc/GMT+5", vec![]),
            ("EST5EDT", vec![]),
            ("", vec!["timeZone must be nil or non-empty string"]),
            ("utc", vec!["unknown time zone utc"]),
            ("europe/berlin", vec!["unknown time zone europe/berlin"]),
            ("Europe", vec!["unknown time zone Europe"]),
            ("Europe/Berlin/", vec!["unknown time zone Europe/Berlin/"]),
            ("Europe/../UTC", vec!["unknown time zone Europe/../UTC"]),
            ("-UTC", vec!["unknown time zone -UTC"]),
            ("Etc/Unknown", vec!["unknown time zone Etc/Unknown"]),
            (
                "America/Abcdefghijklmno",
                vec!["unknown time zone America/Abcdefghijklmno"],
            ),
            ("A..B", vec!["time: invalid location name"]),
            ("Local", vec![EXPLICIT]),
            ("local", vec![EXPLICIT, "unknown time zone local"]),
        ] {
            let wanted: Vec<String> = wrong
                .iter()
                .map(|why| format!("spec.timeZone: Invalid value: {zone:?}: {why}"))
                .collect();
            assert_eq!(
                told(&time_zone(zone, &Path::new("spec.timeZone"))),
                wanted,
                "{zone}"
            );
        }
    }

    #[test]
    fn zones_in_schedules_stay_where_they_were() {
        const NEVER: &str = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        const BOTH: &str = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        const PANIC: &str = "invalid schedule format: runtime error: slice bounds out of range [:-1]";
        let zoned = "TZ=UTC 0 0 * * *";
        for (before, schedule, zone, wrong) in [
            (None, "0 0 * * *", None, vec![]),
            (None, zoned, None, vec![NEVER]),
            (Some("0 0 * * *"), zoned, None, vec![NEVER]),
            (Some(zoned), zoned, None, vec![]),
            (Some(zoned), "CRON_TZ=Asia/Tokyo 0 1 * * *", None, vec![]),
            (Some(zoned), zoned, Some("UTC"), vec![BOTH]),
            (Some(zoned), "0 0 * * *", Some("UTC"), vec![]),
            (
                Some(zoned),
                "TZ=utc 0 0 * * *",
                None,
                vec!["provided bad location utc: unknown time zone utc"],
            ),
            (Some(zoned), "TZ=UTC", None, vec![PANIC]),
            (
                None,
                "TZ=UTC 0 0 * *",
                None,
                vec!["expected exactly 5 fields, found 4: [0 0 * *]", NEVER],
            ),
        ] {
            let before = before.map(|schedule| json!({"schedule": schedule}));
            let spec = json!({"timeZone": zone});
            let wanted: Vec<String> = wrong
                .iter()
                .map(|why| format!("s: Invalid value: {schedule:?}: {why}"))
                .collect();
            let found = self::schedule(before.as_ref(), &spec, schedule, &Path::new("s"));
            assert_eq!(told(&found), wanted, "{schedule}");
        }
    }

    #[test]
    fn zones_are_looked_at_when_they_change() {
        let job = |zone: &str| json!({"metadata": {"name": "c"}, "spec": {"timeZone": zone}});
        let allowed = Allowed::new(crate::features::Features::default());
        for (before, after, wrong) in [
            (None, "utc", true),
            (Some("utc"), "utc", false),
            (Some("UTC"), "utc", true),
        ] {
            let old = before.map(job);
            let found = told(&check(old.as_ref(), &job(after), allowed, &Path::new("spec")));
            assert_eq!(
                found.iter().any(|error| error.starts_with("spec.timeZone")),
                wrong,
                "{before:?} {after}"
            );
        }
    }
}

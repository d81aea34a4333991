//! Validation of jobs and cron jobs.
mod change;
mod policies;

use super::pod::{self, Allowed};
use super::shared::{domain_prefixed_path, label_selector, maybe_one_of, non_negative, one_of};
use crate::features::Features;
use crate::value::{at, int, text};
use apimachinery::cron::Cron;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::selector::LabelSelector;
use apimachinery::{cron, meta, names};
use serde_json::Value;

/// A new or changed job or cron job.
pub(super) fn check(
    kind: &str,
    old: Option<&Value>,
    new: &Value,
    features: Features,
    allowed: Allowed,
) -> Option<ErrorList> {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    Some(match kind {
        "Job" => {
            let mut errors = ErrorList::new();
            if old.is_none() {
                errors.extend(generated_selector(new));
            }
            errors.extend(job(spec, allowed, &path));
            if at(spec, &["selector"]).is_object() {
                errors.extend(label_selector(&path.child("selector"), at(spec, &["selector"])));
            } else {
                errors.push(Error::required(&path.child("selector"), ""));
            }
            errors.extend(selects_its_pods(spec, &path));
            errors.extend(names_its_pods(new));
            if let Some(old) = old {
                errors.extend(change::check(old, spec, features, &path));
            }
            errors
        }
        "CronJob" => {
            let mut errors = cron_job(spec, allowed, &path);
            // Names of jobs are made of this one and a time.
            if old.is_none() && meta::name(new).len() > MAX_CRON_JOB_NAME {
                errors.insert(
                    0,
                    Error::invalid(
                        &Path::new("metadata.name"),
                        meta::name(new),
                        "must be no more than 52 characters",
                    ),
                );
            }
            errors
        }
        _ => return None,
    })
}

/// A CronJob's name has at most this many characters.
const MAX_CRON_JOB_NAME: usize = 52;

/// An indexed job has at most this many pods at once, and failed indexes.
const MAX_INDEXED: i64 = 100_000;

/// A selector that the server made selects by what the server made.
fn generated_selector(job: &Value) -> ErrorList {
    let spec = at(job, &["spec"]);
    let mut errors = ErrorList::new();
    if at(spec, &["manualSelector"]) == &Value::Bool(true) || !at(spec, &["selector"]).is_object() {
        return errors;
    }
    let (uid, name) = (meta::uid(job), meta::name(job));
    let labels = at(spec, &["template", "metadata", "labels"]);
    let path = Path::new("spec.template.metadata.labels");
    let wanted = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("job-name", name),
    ];
    let has = |key: &str| labels.get(key).is_some();
    for (key, value) in wanted {
        // Jobs made before the longer names have only the shorter ones.
        if key.contains('/') && !has(key) && has("controller-uid") {
            continue;
        }
        match labels.get(key).and_then(Value::as_str) {
            None => errors.push(Error::required(&path.key(key), format!("must be '{value}'"))),
            Some(other) if other != value => errors.push(Error::invalid(
                &path.key(key),
                labels,
                format!("must be '{value}'"),
            )),
            Some(_) => {}
        }
    }
    let expected = wanted
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
    let selector = LabelSelector::from_object(Some(at(spec, &["selector"])));
    if selector.is_ok_and(|selector| !selector.matches(Some(&expected))) {
        errors.push(Error::invalid(
            &Path::new("spec.selector"),
            super::shared::selector_shown(at(spec, &["selector"])),
            "`selector` not auto-generated",
        ));
    }
    errors
}

/// Whether the selector was made or given: it must match the pods that the job makes.
fn selects_its_pods(spec: &Value, path: &Path) -> Option<Error> {
    let labels = at(spec, &["template", "metadata", "labels"]);
    let selector = at(spec, &["selector"]);
    let matches = match LabelSelector::from_object(Some(selector).filter(|selector| selector.is_object())) {
        Ok(wanted) => selector.is_object() && wanted.matches(labels.as_object()),
        Err(_) => return None,
    };
    (!matches).then(|| {
        Error::invalid(
            &path.child("template.metadata.labels"),
            labels,
            "`selector` does not match template `labels`",
        )
    })
}

/// The pods of an indexed job have host names, made of the job's name and the index.
fn names_its_pods(job: &Value) -> Option<Error> {
    let spec = at(job, &["spec"]);
    let completions = int(spec, &["completions"]).filter(|completions| *completions > 0)?;
    let name = meta::name(job);
    let last = format!("{name}-{}", completions - 1);
    let wrong = text(spec, &["completionMode"]) == "Indexed" && !names::dns1123_label(&last).is_empty();
    wrong.then(|| {
        Error::invalid(
            &Path::new("metadata.name"),
            name,
            format!("will not able to create pod with invalid DNS label: {last}"),
        )
    })
}

fn job(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    let mode = at(spec, &["completionMode"]);
    errors.extend(maybe_one_of(
        &path.child("completionMode"),
        mode,
        &["NonIndexed", "Indexed"],
    ));
    let indexed = mode == "Indexed";
    if indexed && int(spec, &["completions"]).is_none() {
        errors.push(Error::required(
            &path.child("completions"),
            "when completion mode is Indexed",
        ));
    }
    if let Some(parallelism) =
        int(spec, &["parallelism"]).filter(|parallelism| indexed && *parallelism > MAX_INDEXED)
    {
        errors.push(Error::invalid(
            &path.child("parallelism"),
            parallelism,
            format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"),
        ));
    }
    let per_index = int(spec, &["backoffLimitPerIndex"]);
    if per_index.is_some() && matches!(mode.as_str(), None | Some("NonIndexed")) {
        errors.push(Error::invalid(
            &path.child("backoffLimitPerIndex"),
            per_index.unwrap_or(0),
            "requires indexed completion mode",
        ));
    }
    if let Some(failed) = int(spec, &["maxFailedIndexes"]) {
        if matches!(mode.as_str(), None | Some("NonIndexed")) {
            errors.push(Error::invalid(
                &path.child("maxFailedIndexes"),
                failed,
                "requires indexed completion mode",
            ));
        }
        if int(spec, &["completions"]).is_some_and(|completions| failed > completions) {
            errors.push(Error::invalid(
                &path.child("maxFailedIndexes"),
                failed,
                "must be less than or equal to completions",
            ));
        }
        if per_index.is_none() {
            errors.push(Error::required(
                &path.child("backoffLimitPerIndex"),
                "when maxFailedIndexes is specified",
            ));
        }
    }
    if indexed && let Some(completions) = int(spec, &["completions"]) {
        errors.extend(many_indexes(spec, completions, path));
    }
    if at(spec, &["podFailurePolicy"]).is_object() {
        errors.extend(policies::failure(spec, &path.child("podFailurePolicy")));
    }
    if at(spec, &["successPolicy"]).is_object() {
        errors.extend(policies::success(spec, &path.child("successPolicy")));
    }
    errors.extend(managed_by(spec, &path.child("managedBy")));
    errors.extend(maybe_one_of(
        &path.child("podReplacementPolicy"),
        at(spec, &["podReplacementPolicy"]),
        &["Failed", "TerminatingOrFailed"],
    ));
    errors.extend(pod::template(
        at(spec, &["template"]),
        allowed,
        &path.child("template"),
    ));
    let policy_path = path.child("template.spec.restartPolicy");
    let restart = text(spec, &["template", "spec", "restartPolicy"]);
    match restart {
        "" | "Always" => errors.push(Error::required(
            &policy_path,
            "valid values: \"OnFailure\", \"Never\"",
        )),
        "Never" => {}
        "OnFailure" if at(spec, &["podFailurePolicy"]).is_object() => {
            errors.push(Error::invalid(
                &policy_path,
                restart,
                "only \"Never\" is supported when podFailurePolicy is specified",
            ));
        }
        "OnFailure" => {}
        _ => errors.push(Error::not_supported(
            &policy_path,
            restart,
            &["OnFailure", "Never"],
        )),
    }
    errors
}

/// A job with more indexes than can be followed one by one keeps fewer of them.
fn many_indexes(spec: &Value, completions: i64, path: &Path) -> ErrorList {
    const MAX_PARALLEL: i64 = 10_000;
    let mut errors = ErrorList::new();
    if int(spec, &["backoffLimitPerIndex"]).is_none() || completions <= MAX_INDEXED {
        let failed = int(spec, &["maxFailedIndexes"]).filter(|failed| *failed > MAX_INDEXED);
        errors.extend(failed.map(|failed| {
            Error::invalid(
                &path.child("maxFailedIndexes"),
                failed,
                format!("must be less than or equal to {MAX_INDEXED}"),
            )
        }));
        return errors;
    }
    let many = format!("when completions is above {MAX_INDEXED}");
    match int(spec, &["maxFailedIndexes"]) {
        None => errors.push(Error::required(
            &path.child("maxFailedIndexes"),
            format!("must be specified {many}"),
        )),
        Some(failed) if failed > MAX_PARALLEL => errors.push(Error::invalid(
            &path.child("maxFailedIndexes"),
            failed,
            format!("must be less than or equal to {MAX_PARALLEL} {many}"),
        )),
        Some(_) => {}
    }
    if let Some(parallelism) = int(spec, &["parallelism"]).filter(|count| *count > MAX_PARALLEL) {
        errors.push(Error::invalid(
            &path.child("parallelism"),
            parallelism,
            format!(
                "must be less than or equal to {MAX_PARALLEL} {many} and used with backoff limit per index"
            ),
        ));
    }
    errors
}

fn managed_by(spec: &Value, path: &Path) -> ErrorList {
    let Some(manager) = at(spec, &["managedBy"]).as_str() else {
        return ErrorList::new();
    };
    let mut errors = domain_prefixed_path(path, manager);
    if manager.len() > 63 {
        errors.push(Error::too_long(path, 63));
    }
    errors
}

fn cron_job(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let schedule = text(spec, &["schedule"]);
    if schedule.is_empty() {
        errors.push(Error::required(&path.child("schedule"), ""));
    } else {
        if schedule.contains("TZ") {
            errors.push(Error::invalid(
                &path.child("schedule"),
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ));
        }
        if let Err(why) = Cron::parse(cron::split_zone(schedule).1) {
            errors.push(Error::invalid(&path.child("schedule"), schedule, why));
        }
    }
    errors.extend(non_negative(
        &path.child("startingDeadlineSeconds"),
        at(spec, &["startingDeadlineSeconds"]),
    ));
    if let Some(zone) = at(spec, &["timeZone"]).as_str() {
        let path = path.child("timeZone");
        if zone.is_empty() {
            errors.push(Error::invalid(
                &path,
                zone,
                "timeZone must be nil or non-empty string",
            ));
        } else if zone.eq_ignore_ascii_case("Local") {
            errors.push(Error::invalid(
                &path,
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            ));
        } else if jiff::tz::TimeZone::get(zone).is_err() {
            errors.push(Error::invalid(&path, zone, format!("unknown time zone {zone}")));
        }
    }
    match text(spec, &["concurrencyPolicy"]) {
        "" => errors.push(Error::required(&path.child("concurrencyPolicy"), "")),
        _ => errors.extend(one_of(
            &path.child("concurrencyPolicy"),
            at(spec, &["concurrencyPolicy"]),
            &["Allow", "Forbid", "Replace"],
        )),
    }
    let (template, own) = (at(spec, &["jobTemplate", "spec"]), path.child("jobTemplate.spec"));
    errors.extend(job(template, allowed, &own));
    if at(template, &["selector"]).is_object() {
        errors.push(Error::invalid(
            &own.child("selector"),
            super::shared::selector_shown(at(template, &["selector"])),
            "`selector` will be auto-generated",
        ));
    }
    if at(template, &["manualSelector"]) == &Value::Bool(true) {
        errors.push(Error::not_supported(
            &own.child("manualSelector"),
            Value::Bool(true),
            &["nil", "false"],
        ));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    errors
}

//! Validation of jobs and cron jobs.
use super::shared::{domain_prefixed_path, immutable, maybe_one_of, non_negative, one_of, same, texts};
use super::{internal, pod};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::selector::LabelSelector;
use apimachinery::{meta, names};
use serde_json::Value;

/// A new or changed job or cron job.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    Some(match kind {
        "Job" => {
            let mut errors = job(spec, &path);
            if !at(spec, &["selector"]).is_object() {
                errors.push(Error::required(&path.child("selector"), ""));
            }
            errors.extend(selects_its_pods(spec, &path));
            errors.extend(names_its_pods(new));
            if let Some(old) = old {
                errors.extend(job_change(at(old, &["spec"]), spec, &path));
            }
            errors
        }
        "CronJob" => {
            let mut errors = cron_job(spec, &path);
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

fn job(spec: &Value, path: &Path) -> ErrorList {
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
    if at(spec, &["podFailurePolicy"]).is_object() {
        errors.extend(failure_policy(spec, &path.child("podFailurePolicy")));
    }
    if at(spec, &["successPolicy"]).is_object() {
        errors.extend(success_policy(spec, &path.child("successPolicy")));
    }
    errors.extend(managed_by(spec, &path.child("managedBy")));
    errors.extend(maybe_one_of(
        &path.child("podReplacementPolicy"),
        at(spec, &["podReplacementPolicy"]),
        &["Failed", "TerminatingOrFailed"],
    ));
    errors.extend(pod::template(at(spec, &["template"]), &path.child("template")));
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

fn success_policy(spec: &Value, path: &Path) -> ErrorList {
    if text(spec, &["completionMode"]) != "Indexed" {
        let shown = internal::shown(internal::SUCCESS_POLICY, at(spec, &["successPolicy"]));
        return vec![Error::invalid(path, shown, "requires indexed completion mode")];
    }
    let mut errors = ErrorList::new();
    let rules = list(spec, &["successPolicy", "rules"]);
    if rules.is_empty() {
        errors.push(Error::required(
            &path.child("rules"),
            "at least one rules must be specified when the successPolicy is specified",
        ));
    }
    let completions = int(spec, &["completions"]).unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(index);
        let count = int(rule, &["succeededCount"]);
        if count.is_none() && at(rule, &["succeededIndexes"]).is_null() {
            errors.push(Error::required(
                &path,
                "at least one of succeededCount or succeededIndexes must be specified",
            ));
        }
        if let Some(count) = count {
            errors.extend(non_negative(
                &path.child("succeededCount"),
                at(rule, &["succeededCount"]),
            ));
            if count > completions {
                errors.push(Error::invalid(
                    &path.child("succeededCount"),
                    count,
                    format!(
                        "must be less than or equal to {completions} (the number of specified completions)"
                    ),
                ));
            }
        }
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

fn failure_policy(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(spec, &["template", "spec", kind]))
        .map(|container| text(container, &["name"]))
        .collect();
    for (index, rule) in list(spec, &["podFailurePolicy", "rules"]).iter().enumerate() {
        let path = path.child("rules").index(index);
        match text(rule, &["action"]) {
            "" => errors.push(Error::required(
                &path.child("action"),
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            )),
            "FailIndex" if int(spec, &["backoffLimitPerIndex"]).is_none() => {
                errors.push(Error::invalid(
                    &path.child("action"),
                    "FailIndex",
                    "requires the backoffLimitPerIndex to be set",
                ));
            }
            _ => errors.extend(one_of(
                &path.child("action"),
                at(rule, &["action"]),
                &["Count", "FailIndex", "FailJob", "Ignore"],
            )),
        }
        let codes = at(rule, &["onExitCodes"]);
        if codes.is_object() {
            errors.extend(exit_codes(codes, &containers, &path.child("onExitCodes")));
        }
        let conditions = list(rule, &["onPodConditions"]);
        for (index, pattern) in conditions.iter().enumerate() {
            let path = path.child("onPodConditions").index(index);
            let kind = text(pattern, &["type"]);
            errors.extend(texts(&path.child("type"), kind, names::qualified_name(kind)));
            match text(pattern, &["status"]) {
                "" => errors.push(Error::required(
                    &path.child("status"),
                    "valid values: [\"False\" \"True\" \"Unknown\"]",
                )),
                _ => errors.extend(one_of(
                    &path.child("status"),
                    at(pattern, &["status"]),
                    &["False", "True", "Unknown"],
                )),
            }
        }
        match (codes.is_object(), !conditions.is_empty()) {
            (true, true) => errors.push(Error::invalid(
                &path,
                BadValue::Omitted,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )),
            (false, false) => errors.push(Error::invalid(
                &path,
                BadValue::Omitted,
                "specifying one of OnExitCodes and OnPodConditions is required",
            )),
            _ => {}
        }
    }
    errors
}

fn exit_codes(codes: &Value, containers: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let operator = text(codes, &["operator"]);
    match operator {
        "" => errors.push(Error::required(
            &path.child("operator"),
            "valid values: [\"In\" \"NotIn\"]",
        )),
        _ => errors.extend(one_of(
            &path.child("operator"),
            at(codes, &["operator"]),
            &["In", "NotIn"],
        )),
    }
    if let Some(name) = at(codes, &["containerName"])
        .as_str()
        .filter(|name| !containers.contains(name))
    {
        errors.push(Error::invalid(
            &path.child("containerName"),
            name,
            "must be one of the container or initContainer names in the pod template",
        ));
    }
    let values = list(codes, &["values"]);
    if values.is_empty() {
        errors.push(Error::invalid(
            &path.child("values"),
            at(codes, &["values"]),
            "at least one value is required",
        ));
    }
    let mut last = i64::MIN;
    for (index, value) in values.iter().enumerate() {
        let number = value.as_i64().unwrap_or(0);
        let path = path.child("values").index(index);
        if number == 0 && operator == "In" {
            errors.push(Error::invalid(&path, 0, "must not be 0 for the In operator"));
        }
        if number == last {
            errors.push(Error::duplicate(&path, number));
        } else if number < last {
            errors.push(Error::invalid(&path.clone(), number, "must be ordered"));
        }
        last = number;
    }
    errors
}

/// Indexed jobs may grow and shrink, with as many pods at once as indexes.
fn completions_change(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    let (before, after) = (at(old, &["completions"]), at(new, &["completions"]));
    if text(new, &["completionMode"]) != "Indexed" {
        return immutable(path, before, after);
    }
    let tandem = before == after || after.is_null() || after == at(new, &["parallelism"]);
    (!tandem).then(|| {
        Error::invalid(
            path,
            after,
            "can only be modified in tandem with spec.parallelism",
        )
    })
}

fn job_change(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(completions_change(old, new, &path.child("completions")));
    errors.extend(immutable(
        &path.child("selector"),
        at(old, &["selector"]),
        at(new, &["selector"]),
    ));
    let suspended = at(old, &["suspend"]) == &Value::Bool(true);
    let template = |spec: &Value| {
        let mut template = at(spec, &["template"]).clone();
        if suspended {
            for path in [
                "/spec/nodeSelector",
                "/spec/affinity",
                "/spec/tolerations",
                "/spec/schedulingGates",
                "/metadata/labels",
                "/metadata/annotations",
            ] {
                if let Some((parent, last)) = path.rsplit_once('/') {
                    template
                        .pointer_mut(parent)
                        .and_then(Value::as_object_mut)
                        .and_then(|map| map.remove(last));
                }
            }
        }
        template
    };
    if !same(&template(old), &template(new)) {
        let shown = internal::shown(
            internal::POD_TEMPLATE,
            &internal::template(at(new, &["template"])),
        );
        errors.push(Error::invalid(
            &path.child("template"),
            shown,
            "field is immutable",
        ));
    }
    errors.extend(immutable(
        &path.child("completionMode"),
        at(old, &["completionMode"]),
        at(new, &["completionMode"]),
    ));
    for (field, members) in [
        ("podFailurePolicy", internal::POD_FAILURE_POLICY),
        ("successPolicy", internal::SUCCESS_POLICY),
    ] {
        if !same(at(old, &[field]), at(new, &[field])) {
            let shown = internal::shown_pointer(members, at(new, &[field]));
            errors.push(Error::invalid(&path.child(field), shown, "field is immutable"));
        }
    }
    errors.extend(immutable(
        &path.child("backoffLimitPerIndex"),
        at(old, &["backoffLimitPerIndex"]),
        at(new, &["backoffLimitPerIndex"]),
    ));
    errors.extend(immutable(
        &path.child("managedBy"),
        at(old, &["managedBy"]),
        at(new, &["managedBy"]),
    ));
    errors
}

fn cron_job(spec: &Value, path: &Path) -> ErrorList {
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
        let fields: Vec<&str> = schedule.split_whitespace().collect();
        if !schedule.starts_with('@') && fields.len() != 5 {
            errors.push(Error::invalid(
                &path.child("schedule"),
                schedule,
                format!(
                    "expected exactly 5 fields, found {}: [{}]",
                    fields.len(),
                    fields.join(" ")
                ),
            ));
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
    errors.extend(job(
        at(spec, &["jobTemplate", "spec"]),
        &path.child("jobTemplate.spec"),
    ));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    errors
}

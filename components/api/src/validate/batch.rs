//! Validation of jobs and cron jobs.
use super::pod;
use super::shared::{immutable, maybe_one_of, non_negative, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::names;
use serde_json::{Value, json};

/// A new or changed job or cron job.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    Some(match kind {
        "Job" => {
            let mut errors = job(spec, &path, false);
            if let Some(old) = old {
                errors.extend(job_change(at(old, &["spec"]), spec, &path));
            }
            errors
        }
        "CronJob" => cron_job(spec, &path),
        _ => return None,
    })
}

fn job(spec: &Value, path: &Path, in_template: bool) -> ErrorList {
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
    if !in_template && !at(spec, &["selector"]).is_object() {
        errors.push(Error::required(&path.child("selector"), ""));
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
    let per_index = int(spec, &["backoffLimitPerIndex"]);
    if per_index.is_some() && matches!(mode.as_str(), None | Some("NonIndexed")) {
        errors.push(Error::invalid(
            &path.child("backoffLimitPerIndex"),
            per_index.unwrap_or(0),
            "requires indexed completion mode",
        ));
    }
    if let Some(failed) = int(spec, &["maxFailedIndexes"]) {
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

/// The policy in the field names that upstream prints.
fn internal_policy(policy: &Value) -> BadValue {
    if !policy.is_object() {
        return BadValue::Json(Value::Null);
    }
    let rules: Vec<String> = list(policy, &["rules"])
        .iter()
        .map(|rule| {
            let codes = at(rule, &["onExitCodes"]);
            let codes = if codes.is_object() {
                format!(
                    "{{\"ContainerName\":{},\"Operator\":{},\"Values\":{}}}",
                    at(codes, &["containerName"]),
                    json!(text(codes, &["operator"])),
                    at(codes, &["values"])
                )
            } else {
                "null".into()
            };
            let patterns: Vec<String> = list(rule, &["onPodConditions"])
                .iter()
                .map(|pattern| {
                    format!(
                        "{{\"Type\":{},\"Status\":{}}}",
                        json!(text(pattern, &["type"])),
                        json!(text(pattern, &["status"]))
                    )
                })
                .collect();
            let patterns = if patterns.is_empty() {
                "null".to_owned()
            } else {
                format!("[{}]", patterns.join(","))
            };
            format!(
                "{{\"Action\":{},\"OnExitCodes\":{codes},\"OnPodConditions\":{patterns}}}",
                json!(text(rule, &["action"]))
            )
        })
        .collect();
    let rules = if rules.is_empty() {
        "null".to_owned()
    } else {
        format!("[{}]", rules.join(","))
    };
    BadValue::Raw(format!("{{\"Rules\":{rules}}}"))
}

fn job_change(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let elastic = text(new, &["completionMode"]) == "Indexed"
        && int(new, &["completions"]) == int(new, &["parallelism"]);
    if !elastic {
        errors.extend(immutable(
            &path.child("completions"),
            at(old, &["completions"]),
            at(new, &["completions"]),
        ));
    }
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
    errors.extend(immutable(&path.child("template"), &template(old), &template(new)));
    errors.extend(immutable(
        &path.child("completionMode"),
        at(old, &["completionMode"]),
        at(new, &["completionMode"]),
    ));
    if at(old, &["podFailurePolicy"]) != at(new, &["podFailurePolicy"]) {
        errors.push(Error::invalid(
            &path.child("podFailurePolicy"),
            internal_policy(at(new, &["podFailurePolicy"])),
            "field is immutable",
        ));
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
        true,
    ));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    errors
}

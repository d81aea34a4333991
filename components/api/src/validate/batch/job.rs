//! Jobs: how many pods, how often they may fail, and what they are.
use super::policies;
use crate::validate::pod::{self, Allowed};
use crate::validate::shared::{
    domain_prefixed_path, label_selector_with, maybe_one_of, non_negative, selector_shown,
};
use crate::value::{at, int, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::selector::LabelSelector;
use apimachinery::{meta, names};
use serde_json::Value;

/// An indexed job has at most this many pods at once, and failed indexes; with more indexes, it has limits of its own.
const MAX_INDEXED: i64 = 100_000;

/// Pods at once and failed indexes of a job with many indexes, each of which is followed.
const MAX_FOLLOWED: i64 = 10_000;

/// The manager's name has at most this many bytes.
const MAX_MANAGER: usize = 63;

/// A job as if it were new. `existing` is what it was, if it is not.
pub(super) fn whole(existing: Option<&Value>, new: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = generated_selector(existing, new);
    errors.extend(spec_and_selector(at(new, &["spec"]), allowed, path));
    errors.extend(names_its_pods(new));
    errors
}

/// What holds for a job's spec at any time.
pub(super) fn spec_and_selector(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = self::spec(spec, allowed, path);
    let selector = at(spec, &["selector"]);
    if selector.is_object() {
        let any = allowed.any_selector_values;
        errors.extend(label_selector_with(&path.child("selector"), selector, any));
    } else {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    errors.extend(selects_its_pods(spec, path));
    errors
}

/// A selector that the server made selects by what the server made.
fn generated_selector(existing: Option<&Value>, job: &Value) -> ErrorList {
    const LONG: [&str; 2] = [
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
    ];
    let spec = at(job, &["spec"]);
    let mut errors = ErrorList::new();
    if at(spec, &["manualSelector"]) == &Value::Bool(true) || !at(spec, &["selector"]).is_object() {
        return errors;
    }
    let (uid, name) = (meta::uid(job), meta::name(job));
    if uid.is_empty() {
        errors.push(Error::required(&Path::new("metadata.uid"), ""));
    }
    let labels = |job| at(job, &["spec", "template", "metadata", "labels"]);
    // Jobs made before the longer names have only the shorter ones.
    let long = existing.is_none_or(|existing| LONG.iter().all(|key| labels(existing).get(*key).is_some()));
    let mut wanted = vec![("controller-uid", uid), ("job-name", name)];
    if long {
        wanted.extend(LONG.into_iter().zip([uid, name]));
    }
    let path = Path::new("spec.template.metadata.labels");
    for (key, value) in &wanted {
        match labels(job).get(*key).and_then(Value::as_str) {
            None => errors.push(Error::required(&path.key(key), format!("must be '{value}'"))),
            Some(other) if other != *value => errors.push(Error::invalid(
                &path.key(key),
                labels(job),
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
            selector_shown(at(spec, &["selector"])),
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

/// A job's spec, which has no selector of its own yet in a cron job.
pub(super) fn spec(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
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
    if int(spec, &["maxFailedIndexes"]).is_some() && int(spec, &["backoffLimitPerIndex"]).is_none() {
        errors.push(Error::required(
            &path.child("backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    errors.extend(managed_by(spec, &path.child("managedBy")));
    let mode = at(spec, &["completionMode"]);
    errors.extend(maybe_one_of(
        &path.child("completionMode"),
        mode,
        &["NonIndexed", "Indexed"],
    ));
    match mode.as_str() {
        Some("Indexed") => errors.extend(indexed(spec, path)),
        None | Some("NonIndexed") => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                let given = int(spec, &[field]);
                errors.extend(given.map(|given| {
                    Error::invalid(&path.child(field), given, "requires indexed completion mode")
                }));
            }
        }
        Some(_) => {}
    }
    let with_policy = at(spec, &["podFailurePolicy"]).is_object();
    if with_policy {
        errors.extend(policies::failure(spec, &path.child("podFailurePolicy")));
    }
    if at(spec, &["successPolicy"]).is_object() {
        errors.extend(policies::success(spec, &path.child("successPolicy")));
    }
    // Pods that are still ending may yet count as failed by the policy.
    let replacements: &[&str] = if with_policy {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    errors.extend(maybe_one_of(
        &path.child("podReplacementPolicy"),
        at(spec, &["podReplacementPolicy"]),
        replacements,
    ));
    errors.extend(pod::template(
        at(spec, &["template"]),
        allowed,
        &path.child("template"),
    ));
    errors.extend(restart_policy(spec, &path.child("template.spec.restartPolicy")));
    errors
}

fn restart_policy(spec: &Value, path: &Path) -> Option<Error> {
    match text(spec, &["template", "spec", "restartPolicy"]) {
        "" | "Always" => Some(Error::required(path, "valid values: \"OnFailure\", \"Never\"")),
        "Never" => None,
        "OnFailure" => at(spec, &["podFailurePolicy"]).is_object().then(|| {
            Error::invalid(
                path,
                "OnFailure",
                "only \"Never\" is supported when podFailurePolicy is specified",
            )
        }),
        other => Some(Error::not_supported(path, other, &["OnFailure", "Never"])),
    }
}

/// A job that counts its pods by index.
fn indexed(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (completions, parallelism) = (int(spec, &["completions"]), int(spec, &["parallelism"]));
    let failed = int(spec, &["maxFailedIndexes"]);
    let above = |field: &str, number: i64, detail: String| Error::invalid(&path.child(field), number, detail);
    if completions.is_none() {
        errors.push(Error::required(
            &path.child("completions"),
            "when completion mode is Indexed",
        ));
    }
    if let Some(parallelism) = parallelism.filter(|parallelism| *parallelism > MAX_INDEXED) {
        let detail = format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed");
        errors.push(above("parallelism", parallelism, detail));
    }
    if let Some((failed, _)) = failed.zip(completions).filter(|(failed, all)| failed > all) {
        let detail = "must be less than or equal to completions".to_owned();
        errors.push(above("maxFailedIndexes", failed, detail));
    }
    if let Some(failed) = failed.filter(|failed| *failed > MAX_INDEXED) {
        let detail = format!("must be less than or equal to {MAX_INDEXED}");
        errors.push(above("maxFailedIndexes", failed, detail));
    }
    let followed = int(spec, &["backoffLimitPerIndex"]).is_some();
    if !followed || completions.is_none_or(|completions| completions <= MAX_INDEXED) {
        return errors;
    }
    if failed.is_none() {
        errors.push(Error::required(
            &path.child("maxFailedIndexes"),
            format!("must be specified when completions is above {MAX_INDEXED}"),
        ));
    }
    for (field, number) in [("parallelism", parallelism), ("maxFailedIndexes", failed)] {
        if let Some(number) = number.filter(|number| *number > MAX_FOLLOWED) {
            let detail = format!(
                "must be less than or equal to {MAX_FOLLOWED} when completions are above {MAX_INDEXED} and used with backoff limit per index"
            );
            errors.push(above(field, number, detail));
        }
    }
    errors
}

fn managed_by(spec: &Value, path: &Path) -> ErrorList {
    let Some(manager) = at(spec, &["managedBy"]).as_str() else {
        return ErrorList::new();
    };
    let mut errors = domain_prefixed_path(path, manager);
    if manager.len() > MAX_MANAGER {
        errors.push(Error::too_long(path, MAX_MANAGER));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Features;
    use serde_json::json;

    fn told(errors: ErrorList) -> Vec<String> {
        errors
            .iter()
            .map(ToString::to_string)
            .filter(|error| !error.starts_with("spec.template.spec.containers"))
            .collect()
    }

    #[test]
    fn numbers_of_a_job_fit_its_mode() {
        const MANY: &str = "when completions are above 100000 and used with backoff limit per index";
        let many = |field: &str, number: i64| {
            format!("spec.{field}: Invalid value: {number}: must be less than or equal to 10000 {MANY}")
        };
        for (fields, wrong) in [
            (json!({"completions": 3}), vec![]),
            (
                json!({"completionMode": "Indexed"}),
                vec!["spec.completions: Required value: when completion mode is Indexed".to_owned()],
            ),
            (
                json!({"maxFailedIndexes": 1, "managedBy": "x"}),
                vec![
                    "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified".into(),
                    "spec.managedBy: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"
                        .into(),
                    "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode".into(),
                ],
            ),
            (
                json!({
                    "completionMode": "Indexed", "completions": 200_000, "parallelism": 10_001,
                    "backoffLimitPerIndex": 1,
                }),
                vec![
                    "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000".into(),
                    many("parallelism", 10_001),
                ],
            ),
            (
                json!({
                    "completionMode": "Indexed", "completions": 200_000, "backoffLimitPerIndex": 1,
                    "maxFailedIndexes": 100_001,
                }),
                vec![
                    "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000".into(),
                    many("maxFailedIndexes", 100_001),
                ],
            ),
            (
                json!({"podFailurePolicy": {"rules": []}, "podReplacementPolicy": "TerminatingOrFailed"}),
                vec![
                    "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\""
                        .into(),
                ],
            ),
            (
                json!({"podReplacementPolicy": "TerminatingOrFailed"}),
                vec![],
            ),
        ] {
            let mut spec = json!({
                "template": {"spec": {"restartPolicy": "Never", "dnsPolicy": "Default"}},
            });
            for (field, value) in fields.as_object().into_iter().flatten() {
                spec[field] = value.clone();
            }
            let allowed = Allowed::new(Features::default());
            assert_eq!(told(self::spec(&spec, allowed, &Path::new("spec"))), wrong, "{fields}");
        }
    }

    #[test]
    fn the_longer_labels_are_wanted_of_jobs_that_had_them() {
        let job = |labels: Value| {
            json!({
                "metadata": {"name": "j", "uid": "u"},
                "spec": {
                    "selector": {"matchLabels": {"controller-uid": "u"}},
                    "template": {"metadata": {"labels": labels}},
                },
            })
        };
        let short = job(json!({"controller-uid": "u", "job-name": "j"}));
        let all = job(json!({
            "controller-uid": "u", "job-name": "j",
            "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
        }));
        for (existing, new, wrong) in [
            (None, &all, vec![]),
            (Some(&short), &short, vec![]),
            (
                None,
                &short,
                vec![
                    "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Required value: must be 'u'",
                    "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'j'",
                ],
            ),
            (
                Some(&all),
                &short,
                vec![
                    "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Required value: must be 'u'",
                    "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'j'",
                ],
            ),
        ] {
            assert_eq!(told(generated_selector(existing, new)), wrong, "{new}");
        }
    }
}

use super::words::{age, containers, labels, name, selector, since};
use crate::value::{at, flag, int, list, text};
use apimachinery::{meta, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Cells of controllers of pods.
pub(super) fn cells(kind: (&str, &str), value: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let template = at(value, &["spec", "template", "spec"]);
    let (names, images) = containers(template);
    let number = |path: &[&str]| int(value, path).unwrap_or(0);
    let desired = number(&["spec", "replicas"]);
    let selected = || json!(selector(at(value, &["spec", "selector"])));
    Some(match kind {
        ("", "ReplicationController") | ("apps", "ReplicaSet") => {
            let selector = if kind.0.is_empty() {
                json!(labels(at(value, &["spec", "selector"])))
            } else {
                selected()
            };
            vec![
                name(value),
                json!(desired),
                json!(number(&["status", "replicas"])),
                json!(number(&["status", "readyReplicas"])),
                age(value, now),
                json!(names),
                json!(images),
                selector,
            ]
        }
        ("apps", "Deployment") => vec![
            name(value),
            json!(format!("{}/{desired}", number(&["status", "readyReplicas"]))),
            json!(number(&["status", "updatedReplicas"])),
            json!(number(&["status", "availableReplicas"])),
            age(value, now),
            json!(names),
            json!(images),
            selected(),
        ],
        ("apps", "StatefulSet") => vec![
            name(value),
            json!(format!("{}/{desired}", number(&["status", "readyReplicas"]))),
            age(value, now),
            json!(names),
            json!(images),
        ],
        ("apps", "DaemonSet") => vec![
            name(value),
            json!(number(&["status", "desiredNumberScheduled"])),
            json!(number(&["status", "currentNumberScheduled"])),
            json!(number(&["status", "numberReady"])),
            json!(number(&["status", "updatedNumberScheduled"])),
            json!(number(&["status", "numberAvailable"])),
            json!(labels(at(template, &["nodeSelector"]))),
            age(value, now),
            json!(names),
            json!(images),
            selected(),
        ],
        ("apps", "ControllerRevision") => {
            let controller = meta::controller_of(value).map_or_else(|| "<none>".to_owned(), controller);
            vec![
                name(value),
                json!(controller),
                json!(number(&["revision"])),
                age(value, now),
            ]
        }
        ("batch", "Job") => job(value, now, names, images),
        ("batch", "CronJob") => cron_job(value, now),
        _ => return None,
    })
}

/// `deployment.apps/web`.
fn controller(owner: &Value) -> String {
    let group = text(owner, &["apiVersion"])
        .split_once('/')
        .map_or(String::new(), |(group, _)| format!(".{group}"));
    format!(
        "{}{group}/{}",
        text(owner, &["kind"]).to_lowercase(),
        text(owner, &["name"])
    )
}

fn job(job: &Value, now: Timestamp, names: String, images: String) -> Vec<Value> {
    let succeeded = int(job, &["status", "succeeded"]).unwrap_or(0);
    let completions = match (
        int(job, &["spec", "completions"]),
        int(job, &["spec", "parallelism"]).unwrap_or(0),
    ) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let started = text(job, &["status", "startTime"]).parse::<Timestamp>().ok();
    let ended = text(job, &["status", "completionTime"]).parse::<Timestamp>().ok();
    let duration = started
        .map(|started| time::human_duration(ended.unwrap_or(now).as_second() - started.as_second()))
        .unwrap_or_default();
    let is = |kind: &str| {
        list(job, &["status", "conditions"])
            .iter()
            .any(|condition| text(condition, &["type"]) == kind && text(condition, &["status"]) == "True")
    };
    let status = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if meta::deletion_timestamp(job).is_some() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    vec![
        name(job),
        json!(status),
        json!(completions),
        json!(duration),
        age(job, now),
        json!(names),
        json!(images),
        json!(selector(at(job, &["spec", "selector"]))),
    ]
}

fn cron_job(cron: &Value, now: Timestamp) -> Vec<Value> {
    let job = at(cron, &["spec", "jobTemplate", "spec"]);
    let (names, images) = containers(at(job, &["template", "spec"]));
    let last = text(cron, &["status", "lastScheduleTime"]);
    let zone = text(cron, &["spec", "timeZone"]);
    vec![
        name(cron),
        json!(text(cron, &["spec", "schedule"])),
        json!(super::words::or_none(zone)),
        json!(if flag(cron, &["spec", "suspend"]) {
            "True"
        } else {
            "False"
        }),
        json!(list(cron, &["status", "active"]).len()),
        json!(if last.is_empty() {
            "<none>".to_owned()
        } else {
            since(last, now)
        }),
        age(cron, now),
        json!(names),
        json!(images),
        json!(selector(at(job, &["selector"]))),
    ]
}

//! Cron jobs whose time has come: a status that says that the last start was long ago makes it so.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const CRONS: &str = "/apis/batch/v1/namespaces/default/cronjobs";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

fn template() -> Value {
    json!({"spec": {"template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}}})
}

/// Made suspended; it starts with `resume`.
async fn suspended(cluster: &Cluster, status: &Value) -> Value {
    let cron = json!({"metadata": {"name": "c"}, "spec": {
        "schedule": "* * * * *", "timeZone": "Asia/Kolkata", "suspend": true, "concurrencyPolicy": "Forbid",
        "jobTemplate": template(),
    }});
    let made = cluster.create(CRONS, &cron).await;
    cluster
        .patch(&format!("{CRONS}/c/status"), &json!({ "status": status }))
        .await;
    made
}

async fn resume(cluster: &Cluster) {
    cluster
        .patch(&format!("{CRONS}/c"), &json!({"spec": {"suspend": false}}))
        .await;
}

fn active(cron: Option<&Value>) -> Vec<String> {
    let list = cron.and_then(|cron| cron["status"]["active"].as_array());
    let names = list.into_iter().flatten().map(|entry| entry["name"].as_str());
    names.map(|name| name.unwrap().to_owned()).collect()
}

/// A job that the cache did not have was struck off the list, and Forbid let another one start beside it.
#[tokio::test]
async fn an_active_job_is_missing_only_when_the_server_says_so() {
    let cluster = Cluster::start("cronjob").await;
    let job = json!({"metadata": {"name": "there"}, "spec": template()["spec"]});
    let there = cluster.create(JOBS, &job).await;
    let entry = |name: &str, uid: &Value| json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": "default", "name": name, "uid": uid});
    let list = [
        entry("there", &there["metadata"]["uid"]),
        entry("gone", &json!("0")),
    ];
    suspended(
        &cluster,
        &json!({"active": list, "lastScheduleTime": "2026-01-01T00:00:00Z"}),
    )
    .await;
    resume(&cluster).await;
    let cron = cluster
        .until(&format!("{CRONS}/c"), "knows who is gone", |cron| {
            active(cron) == ["there"]
        })
        .await;
    assert!(cron.is_some());
    let events = "/api/v1/namespaces/default/events?fieldSelector=reason=JobAlreadyActive";
    cluster
        .until(events, "Forbid holds", |list| {
            list.is_some_and(|list| list["items"][0].is_object())
        })
        .await;
    let jobs = cluster.get(JOBS).await.unwrap();
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(1), "{jobs}");
}

/// The job's annotation says when it was due, in the time zone of the schedule.
#[tokio::test]
async fn a_started_job_is_listed_and_says_when_it_was_due() {
    let cluster = Cluster::start("cronjob").await;
    suspended(&cluster, &json!({"lastScheduleTime": "2026-01-01T00:00:00Z"})).await;
    resume(&cluster).await;
    let cron = cluster
        .until(&format!("{CRONS}/c"), "has a job", |cron| active(cron).len() == 1)
        .await;
    let name = active(cron.as_ref()).remove(0);
    let job = cluster.get(&format!("{JOBS}/{name}")).await.unwrap();
    let due = &job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"];
    assert!(due.as_str().is_some_and(|due| due.ends_with("+05:30")), "{due}");
    let unexpected = cluster
        .get("/api/v1/namespaces/default/events?fieldSelector=reason=UnexpectedJob")
        .await
        .unwrap();
    assert_eq!(unexpected["items"], json!([]));
}

#[tokio::test]
async fn a_day_that_never_comes_is_told() {
    let cluster = Cluster::start("cronjob").await;
    let cron =
        json!({"metadata": {"name": "c"}, "spec": {"schedule": "59 23 31 2 *", "jobTemplate": template()}});
    cluster.create(CRONS, &cron).await;
    let events = "/api/v1/namespaces/default/events?fieldSelector=reason=InvalidSchedule";
    cluster
        .until(events, "is told", |list| {
            list.is_some_and(|list| {
                list["items"][0]["message"]
                    == "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"
            })
        })
        .await;
}

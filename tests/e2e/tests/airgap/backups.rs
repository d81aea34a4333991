use std::time::Duration;

use e2e::{TestLab, until};
use serde_json::Value;

use crate::storage::{BUCKET, Storage};

const SECRET: &str = "a-secret-that-shows-nowhere";

pub(crate) fn configure(lab: &TestLab, storage: &Storage) {
    let credentials = lab.scratch.path().join("s3.toml");
    let text = format!("access_key_id = \"operator\"\nsecret_access_key = \"{SECRET}\"\n");
    std::fs::write(&credentials, text).expect("written");
    let table = format!(
        "[backup]\nschedule = \"hourly\"\nkeep = 2\n\n[backup.s3]\nendpoint = \"{}\"\nbucket = \"{BUCKET}\"\n\
         prefix = \"clusters\"\ncredentials = \"{}\"\nauthority = \"{}\"\n\n[[hosts]]",
        storage.endpoint,
        credentials.display(),
        lab.scratch.path().join("s3.crt").display()
    );
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    std::fs::write(lab.inventory(), text.replacen("[[hosts]]", &table, 1)).expect("written");
    // Others could read the file.
    let refused = lab.hardway(&["plan"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("chmod 600"),
        "{refused:?}"
    );
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).expect("changed");
}

fn json(lab: &TestLab, arguments: &[&str]) -> Value {
    let said = lab.hardway(&[arguments, &["--json"]].concat()).ok();
    serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON")
}

fn take(lab: &TestLab) -> e2e::Finished {
    lab.exec("cp-1", &["systemctl", "start", "hardway-backup.service"])
}

fn count(listed: &Value) -> usize {
    listed["snapshots"].as_array().expect("a list").len()
}

pub(crate) fn hosts_take_check_keep_and_send(lab: &TestLab) {
    let timers = lab
        .exec(
            "cp-1",
            &["systemctl", "list-timers", "--no-legend", "hardway-backup.timer"],
        )
        .ok();
    assert!(timers.contains("hardway-backup.service"), "{timers}");
    for number in 1..=3 {
        // Each holds something more, and so has another revision.
        lab.kubectl(&["create", "configmap", &format!("taken-{number}")])
            .ok();
        take(lab).ok();
    }
    let kept = lab
        .exec(
            "cp-1",
            &[
                "sh",
                "-c",
                "stat -c '%a %U %n' /var/backups/hardway /var/backups/hardway/*",
            ],
        )
        .ok();
    println!("{kept}");
    assert_eq!(
        kept.lines().count(),
        5,
        "two snapshots with their descriptions: {kept}"
    );
    assert!(kept.starts_with("700 etcd "), "{kept}");
    assert!(
        kept.lines().skip(1).all(|line| line.starts_with("600 etcd ")),
        "{kept}"
    );
    assert_eq!(count(&json(lab, &["etcd", "snapshots", "--hosts"])), 2);
    assert_eq!(count(&json(lab, &["etcd", "snapshots", "--s3"])), 2);
    let journal = lab
        .exec("cp-1", &["journalctl", "-u", "hardway-backup", "--no-pager"])
        .ok();
    assert!(journal.contains("sent to s3://"), "{journal}");
    assert!(
        !journal.contains(SECRET) && !journal.contains("X-Amz-Signature"),
        "{journal}"
    );
    let mode = lab
        .exec(
            "cp-1",
            &[
                "stat",
                "-Lc",
                "%a %U",
                "/etc/hardway/current/config/backup-s3.toml",
            ],
        )
        .ok();
    assert_eq!(mode.trim(), "600 etcd");
}

pub(crate) fn the_operator_pulls_and_sends(lab: &TestLab) {
    let pulled = json(lab, &["etcd", "pull"]);
    let path = pulled["paths"][0].as_str().expect("a path").to_owned();
    println!("{}", lab.hardway(&["etcd", "drill", &path]).ok());
    let taken = json(lab, &["etcd", "snapshot", "--s3"]);
    let url = taken["sent"].as_str().expect("a URL");
    assert!(
        url.starts_with("s3://snapshots/clusters/") && url.contains("/operator/"),
        "{url}"
    );
    assert_eq!(count(&json(lab, &["etcd", "snapshots", "--s3"])), 3);
}

pub(crate) fn what_is_in_the_storage_comes_back(lab: &TestLab) {
    let listed = json(lab, &["etcd", "snapshots", "--s3"]);
    let url = listed["snapshots"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|snapshot| snapshot["url"].as_str())
        .find(|url| url.contains("/operator/"))
        .expect("the operator's")
        .to_owned();
    lab.kubectl(&["delete", "configmap", "taken-1"]).ok();
    let said = lab.hardway(&["etcd", "restore", "--yes", &url]);
    println!("{}", said.stderr);
    said.ok();
    until("the ConfigMap is back", Duration::from_secs(60), || {
        lab.kubectl(&["get", "configmap", "taken-1"]).result()
    });
    let missing = lab.hardway(&["etcd", "restore", "--yes", "s3://snapshots/none.db"]);
    assert!(
        missing.code == 1 && missing.stderr.contains("NoSuchKey"),
        "{missing:?}"
    );
    let bucket = lab.hardway(&["etcd", "restore", "--yes", "s3://nowhere/none.db"]);
    assert!(
        bucket.code == 1 && bucket.stderr.contains("NoSuchBucket"),
        "{bucket:?}"
    );
}

pub(crate) fn one_that_cannot_be_sent_is_kept_and_reported(lab: &TestLab) {
    lab.kubectl(&["create", "configmap", "not-sent"]).ok();
    assert_ne!(take(lab).code, 0, "it was sent to nobody");
    let failed = lab.exec("cp-1", &["systemctl", "is-failed", "hardway-backup.service"]);
    assert_eq!(failed.stdout.trim(), "failed");
    let journal = lab
        .exec(
            "cp-1",
            &["journalctl", "-u", "hardway-backup", "-n", "5", "--no-pager"],
        )
        .ok();
    assert!(journal.contains("is kept here, but not sent"), "{journal}");
    assert_eq!(count(&json(lab, &["etcd", "snapshots", "--hosts"])), 2);
}

//! Two operators at once.

use std::process::Stdio;
use std::time::Duration;

use e2e::{TestLab, until};

use crate::said;

pub(crate) fn the_second_operator_waits_or_is_told(lab: &TestLab) {
    // A command that holds the cluster until it is let go: it waits for an answer on a terminal that never comes,
    // so the test holds the lock itself, as another process of this machine would.
    let lock = lab.inventory().with_extension("hardway").join("lock");
    let mut holder = std::process::Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo held; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock runs");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(holder.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("held");
    let owner = r#"{"user":"ada","host":"elsewhere","pid":4711,"command":"upgrade","since":"2026-01-01T00:00:00Z","expires":"2026-01-01T00:02:00Z"}"#;
    std::fs::write(&lock, owner).expect("written");
    let refused = lab.hardway(&["plan"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        said(&refused).contains("ada@elsewhere (hardway upgrade, process 4711"),
        "{refused:?}"
    );
    let mut waiting = lab
        .hardway_command(&["plan", "--wait-lock", "60", "--brief", "--break-lock"])
        .stdout(Stdio::null())
        .spawn()
        .expect("hardway runs");
    assert!(waiting.try_wait().expect("asked").is_none(), "it did not wait");
    drop(holder.stdin.take());
    holder.wait().expect("ended");
    until(
        "the second operator goes on",
        Duration::from_secs(60),
        || match waiting.try_wait().expect("asked") {
            Some(status) if status.code() == Some(0) => Ok(()),
            Some(status) => panic!("it ended with {status}"),
            None => Err("it still waits".to_owned()),
        },
    );
    a_stale_lock_is_broken_only_when_asked(lab, &lock, owner);
}

fn a_stale_lock_is_broken_only_when_asked(lab: &TestLab, lock: &std::path::Path, owner: &str) {
    std::fs::write(lock, owner).expect("written");
    let refused = lab.hardway(&["plan"]);
    assert!(
        refused.code == 1 && said(&refused).contains("--break-lock"),
        "{refused:?}"
    );
    lab.hardway(&["plan", "--break-lock"]).ok();
    lab.hardway(&["plan"]).ok();
}

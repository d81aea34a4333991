//! A few hollow hosts: relays, what happens without them, what a join touches, two operators at once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use e2e::scale::Swarm;
use e2e::{Finished, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn said(finished: &Finished) -> String {
    format!("{}{}", finished.stdout, finished.stderr)
}

#[test]
fn hosts_pass_the_release_on_and_a_join_touches_no_other() {
    let swarm = Swarm::up("relay", 6);
    two_operators(&swarm);
    damaged_input_changes_nothing(&swarm);
    let run = swarm.hardway(&["bootstrap"]);
    // The control plane lacks more than the workers, so it gets its own.
    assert_eq!(run.uploads.len(), 2, "{run:?}");
    assert_eq!(run.relayed.len(), 5, "{run:?}");
    assert!(!run.notes.iter().any(|note| note.contains("pass on")), "{run:?}");
    let traffic = run.traffic(&["push and switch"]);
    assert!(traffic.between > traffic.up, "{traffic:?}");
    nothing_is_left(&swarm);

    let before = swarm.traces();
    swarm.announce();
    let newcomer = swarm.newcomer();
    let join = swarm.hardway(&["node", "join", &newcomer]);
    assert_eq!(join.uploads, [newcomer.clone()], "{join:?}");
    let after = swarm.traces();
    for (host, trace) in &after {
        assert_eq!(trace.logins, before[host].logins, "somebody logged in to {host}");
        assert!(
            *trace == before[host],
            "{host} was touched:\n{:#?}\n{trace:#?}",
            before[host]
        );
    }
    // What does change elsewhere: the routes, which each host's own daemon takes from the API.
    let address = swarm.lab.address(&newcomer);
    until(
        "the control plane has a route to the new host's pods",
        Duration::from_secs(30),
        || {
            let routes = swarm.lab.exec("cp-1", &["ip", "route"]).ok();
            if routes.contains(&format!("via {address} ")) {
                Ok(())
            } else {
                Err(routes)
            }
        },
    );
    // A second run finds nothing to do, on any host.
    assert_eq!(swarm.lab.hardway(&["plan", "--brief"]).code, 0);
}

#[test]
fn hosts_that_do_not_reach_each_other_get_the_release_from_the_operator() {
    let swarm = Swarm::up("isolated", 6);
    // The control plane is not asked for anything before the push is through.
    swarm.isolate(true);
    let mut child = swarm
        .lab
        .hardway_command(&["bootstrap"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("hardway runs");
    let mut uploads = BTreeMap::new();
    let mut fallbacks = 0;
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in lines.by_ref() {
        let event: serde_json::Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str() {
            Some("transfer") => *uploads.entry(text("host")).or_insert(0) += 1,
            Some("note") => fallbacks += usize::from(text("text").contains("sending it directly")),
            Some("phase") if text("phase") == "control plane" => break,
            Some("error" | "failed") => panic!("{event}"),
            _ => {}
        }
    }
    swarm.isolate(false);
    // The rest is read, so that hardway can go on writing.
    lines.for_each(drop);
    assert!(child.wait().expect("ended").success());
    assert_eq!(uploads.len(), 7, "{uploads:?}");
    assert!(uploads.values().all(|count| *count == 1), "{uploads:?}");
    assert!((1..=5).contains(&fallbacks), "{fallbacks}");
    nothing_is_left(&swarm);
}

fn nothing_is_left(swarm: &Swarm) {
    for host in swarm.hosts() {
        until("the run left nothing", Duration::from_secs(10), || {
            let left = swarm.leftovers(&host);
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{host}: {left:?}"))
            }
        });
    }
}

/// One bootstraps, the second is told who does; waits and goes on when it is let; a lease that ran out can be broken.
fn two_operators(swarm: &Swarm) {
    let mut first = swarm
        .lab
        .hardway_command(&["bootstrap"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("hardway runs");
    let mut lines = BufReader::new(first.stdout.take().expect("piped")).lines();
    lines.next().expect("an event").expect("text");
    let process = Pid::from_raw(i32::try_from(first.id()).expect("a process id"));
    // Stopped while it asks for facts, so that it holds the lock for as long as the test looks.
    kill(process, Signal::SIGSTOP).expect("stopped");
    let refused = swarm.lab.hardway(&["bootstrap"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        said(&refused).contains("hardway bootstrap")
            && said(&refused).contains(&format!("process {process}")),
        "{refused:?}"
    );
    let mut second = swarm
        .lab
        .hardway_command(&["plan", "--brief", "--wait-lock", "120"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hardway runs");
    assert!(second.try_wait().expect("asked").is_none(), "it did not wait");
    kill(process, Signal::SIGKILL).expect("killed");
    first.wait().expect("ended");
    let status = second.wait().expect("ended");
    assert_eq!(status.code(), Some(3), "it did not go on");

    let lock = swarm.lab.inventory().with_extension("hardway").join("lock");
    let owner = r#"{"user":"ada","host":"elsewhere","pid":4711,"command":"upgrade","since":"2026-01-01T00:00:00Z","expires":"2026-01-01T00:02:00Z"}"#;
    std::fs::write(&lock, owner).expect("written");
    let refused = swarm.lab.hardway(&["plan", "--brief"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        said(&refused).contains("ada@elsewhere") && said(&refused).contains("--break-lock"),
        "{refused:?}"
    );
    assert_eq!(swarm.lab.hardway(&["plan", "--brief", "--break-lock"]).code, 3);
    assert_eq!(swarm.lab.hardway(&["plan", "--brief"]).code, 3);
}

/// Files that are cut or hold rubbish: exit code 2, no panic, no login on any host.
fn damaged_input_changes_nothing(swarm: &Swarm) {
    let plan = swarm.lab.scratch.path().join("plan.json");
    let plan_name = plan.to_str().expect("a name").to_owned();
    assert_eq!(
        swarm.lab.hardway(&["plan", "--brief", "--out", &plan_name]).code,
        3
    );
    let state = swarm.lab.inventory().with_extension("hardway");
    let before = swarm.traces();
    let cases = [
        (swarm.lab.inventory(), vec!["bootstrap"]),
        (plan, vec!["apply", plan_name.as_str()]),
        (state.join("state.json"), vec!["bootstrap"]),
        (state.join("journal.jsonl"), vec!["bootstrap"]),
    ];
    for (path, command) in &cases {
        let whole = std::fs::read(path).unwrap_or_default();
        for damaged in damages(&whole) {
            std::fs::write(path, &damaged).expect("written");
            let refused = swarm.lab.hardway(command);
            let text = said(&refused);
            assert_eq!(refused.code, 2, "{}: {text}", path.display());
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            assert!(
                text.contains(name) && !text.contains("panicked"),
                "{name}: {text}"
            );
        }
        if whole.is_empty() {
            std::fs::remove_file(path).expect("removed");
        } else {
            std::fs::write(path, whole).expect("written");
        }
    }
    assert!(before == swarm.traces(), "a host was touched");
}

fn damages(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut binary = whole.to_vec();
    binary.splice(0..0, [0xff, 0xfe, b'\n']);
    vec![b"{\"time\":1}\n[[[\n".to_vec(), binary]
}

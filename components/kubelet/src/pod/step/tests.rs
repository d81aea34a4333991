//! Tables of decisions.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::pod::probe_state::ProbeResults;
use crate::runtime::ObservedSandbox;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}))
        .unwrap()
}

fn container(name: &str, state: RunState, exit_code: i32) -> ObservedContainer {
    ObservedContainer {
        id: format!("id-{name}"),
        sandbox_id: "s".to_owned(),
        name: name.to_owned(),
        attempt: 0,
        state,
        created_at: at(0),
        started_at: Some(at(0)),
        finished_at: (state == RunState::Exited).then(|| at(10)),
        exit_code,
        reason: String::new(),
        message: String::new(),
        image: String::new(),
        image_ref: String::new(),
        hash: "h".to_owned(),
        log_path: String::new(),
        user: None,
        resources: None,
    }
}

fn running(name: &str) -> ObservedContainer {
    container(name, RunState::Running, 0)
}

fn exited(name: &str, code: i32) -> ObservedContainer {
    container(name, RunState::Exited, code)
}

fn sandbox(ready: bool) -> ObservedSandbox {
    ObservedSandbox {
        id: "s".to_owned(),
        attempt: 0,
        ready,
        created_at: 0,
        ips: vec!["10.0.0.2".to_owned()],
        host_network: false,
    }
}

struct Case {
    pod: Pod,
    observed: Observed,
    probes: ProbeTable,
    busy: BTreeSet<String>,
    back_off: BackOff,
    hash: &'static str,
    now: Timestamp,
}

impl Case {
    fn new(spec: Value, containers: Vec<ObservedContainer>) -> Self {
        Self {
            pod: pod(spec),
            observed: Observed {
                sandboxes: vec![sandbox(true)],
                containers,
            },
            probes: ProbeTable::new(),
            busy: BTreeSet::new(),
            back_off: BackOff::new(Duration::from_secs(10), Duration::from_secs(300)),
            hash: "h",
            now: at(12),
        }
    }

    fn plan(&self) -> Plan {
        step(&Snapshot {
            pod: &self.pod,
            observed: &self.observed,
            probes: &self.probes,
            busy: &self.busy,
            back_off: &self.back_off,
            hash: &|_| self.hash.to_owned(),
            now: self.now,
        })
    }

    /// `+name` for starts, `-name` for kills, `sandbox N`, `finished`.
    fn summary(&self) -> String {
        let plan = self.plan();
        let mut words: Vec<String> = plan
            .create_sandbox
            .map(|attempt| format!("sandbox {attempt}"))
            .into_iter()
            .collect();
        words.extend(plan.kills.iter().map(|kill| format!("-{}", kill.name)));
        words.extend(plan.starts.iter().map(|start| format!("+{}", start.name)));
        words.extend(plan.waiting.iter().map(|waiting| format!("~{}", waiting.name)));
        if plan.finished {
            words.push("finished".to_owned());
        }
        words.join(" ")
    }
}

fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

fn with_init(policy: &str) -> Value {
    json!({"restartPolicy": policy, "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]})
}

fn with_sidecar(policy: &str) -> Value {
    json!({"restartPolicy": policy, "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}], "containers": [{"name": "a"}]})
}

#[test]
fn containers_follow_their_restart_policy() {
    for (spec, containers, want) in [
        (two("Always"), vec![], "+a +b"),
        (two("Always"), vec![running("a")], "+b"),
        (two("Always"), vec![running("a"), running("b")], ""),
        (two("Always"), vec![exited("a", 0), running("b")], "+a"),
        (two("OnFailure"), vec![exited("a", 0), running("b")], ""),
        (two("OnFailure"), vec![exited("a", 1), running("b")], "+a"),
        (two("OnFailure"), vec![exited("a", 0), exited("b", 0)], "finished"),
        (two("Never"), vec![exited("a", 1), running("b")], ""),
        (two("Never"), vec![exited("a", 1), exited("b", 0)], "finished"),
        (
            two("Always"),
            vec![container("a", RunState::Created, 0), running("b")],
            "+a",
        ),
    ] {
        assert_eq!(
            Case::new(spec.clone(), containers.clone()).summary(),
            want,
            "{spec} {containers:?}"
        );
    }
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    for (spec, containers, want) in [
        (with_init("Always"), vec![], "+i"),
        (with_init("Always"), vec![running("i")], ""),
        (with_init("Always"), vec![exited("i", 0)], "+j"),
        (with_init("Always"), vec![exited("i", 1)], "+i"),
        (with_init("Never"), vec![exited("i", 1)], "finished"),
        (with_init("Always"), vec![exited("i", 0), exited("j", 0)], "+a"),
        (with_init("Always"), vec![exited("j", 0)], "+a"),
        (
            with_init("Always"),
            vec![exited("i", 0), exited("j", 0), running("a")],
            "",
        ),
        (with_init("Always"), vec![running("a")], ""),
        (with_sidecar("Always"), vec![], "+s"),
        (with_sidecar("Always"), vec![running("s")], "+i"),
        (with_sidecar("Always"), vec![running("s"), exited("i", 0)], "+a"),
        (
            with_sidecar("Always"),
            vec![exited("s", 1), exited("i", 0), running("a")],
            "+s",
        ),
        (
            with_sidecar("Never"),
            vec![running("s"), exited("i", 0), exited("a", 0)],
            "finished",
        ),
    ] {
        assert_eq!(
            Case::new(spec.clone(), containers.clone()).summary(),
            want,
            "{spec} {containers:?}"
        );
    }
}

#[test]
fn a_sandbox_is_made_when_there_is_something_to_run_in_it() {
    for (policy, sandboxes, containers, want) in [
        ("Always", vec![], vec![], "sandbox 0"),
        (
            "Always",
            vec![sandbox(false)],
            vec![exited("a", 0), exited("b", 0)],
            "sandbox 1",
        ),
        (
            "Always",
            vec![sandbox(false)],
            vec![running("a"), exited("b", 0)],
            "-a",
        ),
        (
            "OnFailure",
            vec![sandbox(false)],
            vec![exited("a", 0), exited("b", 0)],
            "finished",
        ),
        (
            "OnFailure",
            vec![sandbox(false)],
            vec![exited("a", 137), exited("b", 0)],
            "sandbox 1",
        ),
        (
            "Never",
            vec![sandbox(false)],
            vec![exited("a", 137), exited("b", 0)],
            "finished",
        ),
        ("Never", vec![sandbox(false)], vec![], "sandbox 1"),
    ] {
        let mut case = Case::new(two(policy), containers.clone());
        case.observed.sandboxes = sandboxes;
        assert_eq!(case.summary(), want, "{policy} {containers:?}");
    }
}

#[test]
fn probes_and_changes_restart_containers() {
    let mut case = Case::new(two("Always"), vec![running("a"), running("b")]);
    case.probes.insert(
        "id-a".to_owned(),
        ProbeResults {
            alive: Some(false),
            ..Default::default()
        },
    );
    assert_eq!(case.summary(), "-a");
    case.busy.insert("a".to_owned());
    assert_eq!(case.summary(), "");
    case.busy.clear();
    case.probes.clear();
    case.probes.insert(
        "id-b".to_owned(),
        ProbeResults {
            started: Some(false),
            ..Default::default()
        },
    );
    assert_eq!(case.summary(), "-b");
    case.probes.clear();
    case.hash = "other";
    assert_eq!(case.summary(), "-a -b");
}

#[test]
fn a_container_that_failed_again_waits() {
    let mut case = Case::new(two("Always"), vec![exited("a", 1), running("b")]);
    case.back_off.next("a", at(5), at(5));
    // Its end is shown first.
    case.now = at(14);
    assert_eq!(case.summary(), "");
    assert_eq!(case.plan().wake_at, Some(at(15)));
    case.now = at(15);
    let plan = case.plan();
    assert_eq!(case.summary(), "~a");
    assert_eq!(plan.wake_at, Some(at(20)));
    assert_eq!(
        plan.waiting[0].message,
        "back-off 10s restarting failed container=a pod=p_n(u)"
    );
}

#[test]
fn container_rules_win_over_the_pods_policy() {
    let rule = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": rule}]});
    assert_eq!(Case::new(spec.clone(), vec![exited("a", 42)]).summary(), "+a");
    assert_eq!(Case::new(spec, vec![exited("a", 41)]).summary(), "finished");
}

#[test]
fn durations_are_written_as_go_does() {
    for (seconds, want) in [(10, "10s"), (60, "1m0s"), (300, "5m0s"), (3661, "1h1m1s")] {
        assert_eq!(go_seconds(Duration::from_secs(seconds)), want);
    }
}

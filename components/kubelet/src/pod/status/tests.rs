//! Tables of statuses.

use serde_json::{Value, json};

use super::*;
use crate::pod::probe_state::ProbeResults;
use crate::runtime::{ObservedContainer, ObservedSandbox, RunState};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn container(name: &str, attempt: u32, state: RunState, exit_code: i32) -> ObservedContainer {
    ObservedContainer {
        id: format!("{name}{attempt}"),
        sandbox_id: "s".to_owned(),
        name: name.to_owned(),
        attempt,
        state,
        created_at: at(i64::from(attempt)),
        started_at: Some(at(i64::from(attempt))),
        finished_at: (state == RunState::Exited).then(|| at(i64::from(attempt) + 1)),
        exit_code,
        reason: String::new(),
        message: String::new(),
        image: "image:1".to_owned(),
        image_ref: "sha256:1".to_owned(),
        hash: String::new(),
        log_path: String::new(),
        user: None,
        resources: None,
    }
}

struct Case {
    pod: Pod,
    previous: PodStatus,
    observed: Observed,
    probes: ProbeTable,
    reasons: Reasons,
    resizing: Resizing,
    terminal: bool,
}

impl Case {
    fn new(spec: Value, mut containers: Vec<ObservedContainer>) -> Self {
        containers.reverse();
        let sandbox = ObservedSandbox {
            id: "s".to_owned(),
            attempt: 0,
            ready: true,
            created_at: 0,
            ips: vec!["10.0.0.2".to_owned()],
            host_network: false,
        };
        Self {
            pod: serde_json::from_value(
                json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}),
            )
            .unwrap(),
            previous: PodStatus::default(),
            observed: Observed {
                sandboxes: vec![sandbox],
                containers,
            },
            probes: ProbeTable::new(),
            reasons: Reasons::new(),
            resizing: Resizing::default(),
            terminal: false,
        }
    }

    fn status(&self) -> PodStatus {
        pod_status(&StatusInput {
            pod: &self.pod,
            previous: &self.previous,
            observed: &self.observed,
            probes: &self.probes,
            reasons: &self.reasons,
            resizing: &self.resizing,
            terminal: self.terminal,
            lost_is_ended: self.terminal,
            failed_because: None,
            host_ips: &["192.168.0.1".to_owned()],
            runtime_name: "containerd",
            now: at(100),
        })
    }

    fn phase(&self) -> String {
        self.status().phase.unwrap()
    }
}

fn condition(status: &PodStatus, kind: &str) -> (String, String) {
    let found = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    (found.status.clone(), found.reason.clone().unwrap_or_default())
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}]})
}

fn with_init(policy: &str) -> Value {
    json!({"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]})
}

#[test]
fn phases_follow_the_containers() {
    use RunState::{Exited, Running};
    for (spec, containers, terminal, want) in [
        (one("Always"), vec![], false, "Pending"),
        (
            one("Always"),
            vec![container("a", 0, Running, 0)],
            false,
            "Running",
        ),
        (
            one("Always"),
            vec![container("a", 0, Exited, 0)],
            false,
            "Running",
        ),
        (
            one("Always"),
            vec![container("a", 0, Exited, 0)],
            true,
            "Succeeded",
        ),
        (
            one("Always"),
            vec![container("a", 0, Exited, 137)],
            true,
            "Failed",
        ),
        (
            one("OnFailure"),
            vec![container("a", 0, Exited, 0)],
            false,
            "Succeeded",
        ),
        (
            one("OnFailure"),
            vec![container("a", 0, Exited, 1)],
            false,
            "Running",
        ),
        (one("Never"), vec![container("a", 0, Exited, 1)], false, "Failed"),
        (
            with_init("Always"),
            vec![container("i", 0, Running, 0)],
            false,
            "Pending",
        ),
        (
            with_init("Always"),
            vec![container("i", 0, Exited, 1)],
            false,
            "Pending",
        ),
        (
            with_init("Never"),
            vec![container("i", 0, Exited, 1)],
            false,
            "Failed",
        ),
        (
            with_init("Always"),
            vec![container("i", 0, Exited, 0), container("a", 0, Running, 0)],
            false,
            "Running",
        ),
    ] {
        let mut case = Case::new(spec.clone(), containers.clone());
        case.terminal = terminal;
        assert_eq!(case.phase(), want, "{spec} {containers:?} {terminal}");
    }
}

#[test]
fn a_new_pod_says_what_it_waits_for() {
    let mut case = Case::new(with_init("Always"), vec![]);
    case.observed.sandboxes.clear();
    let status = case.status();
    let reason = |statuses: &Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        statuses.as_ref().unwrap()[0]
            .state
            .clone()
            .unwrap()
            .waiting
            .unwrap()
            .reason
            .unwrap()
    };
    assert_eq!(reason(&status.init_container_statuses), "PodInitializing");
    assert_eq!(reason(&status.container_statuses), "PodInitializing");
    assert_eq!(
        condition(&status, "Initialized"),
        ("False".to_owned(), "ContainersNotInitialized".to_owned())
    );
    assert_eq!(condition(&status, "PodReadyToStartContainers").0, "False");
    assert_eq!(condition(&status, "PodScheduled").0, "True");
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    let plain = Case::new(one("Always"), vec![]).status();
    assert_eq!(reason(&plain.container_statuses), "ContainerCreating");
}

#[test]
fn a_crashing_container_shows_its_last_end() {
    let mut case = Case::new(
        one("Always"),
        vec![
            container("a", 0, RunState::Exited, 1),
            container("a", 1, RunState::Exited, 2),
        ],
    );
    let status = case.status().container_statuses.unwrap().remove(0);
    assert_eq!(status.state.unwrap().terminated.unwrap().exit_code, 2);
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 1);
    case.reasons.insert(
        "a".to_owned(),
        ("CrashLoopBackOff".to_owned(), "back-off".to_owned()),
    );
    let status = case.status().container_statuses.unwrap().remove(0);
    assert_eq!(
        status.state.unwrap().waiting.unwrap().reason.as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 2);
    assert_eq!((status.restart_count, status.ready), (1, false));
    assert_eq!(status.container_id.as_deref(), Some("containerd://a1"));
}

#[test]
fn readiness_needs_the_probe() {
    let probed = json!({"containers": [{"name": "a", "readinessProbe": {"tcpSocket": {"port": 1}}}]});
    let mut case = Case::new(probed, vec![container("a", 0, RunState::Running, 0)]);
    assert_eq!(
        condition(&case.status(), "Ready"),
        ("False".to_owned(), "ContainersNotReady".to_owned())
    );
    case.probes.insert(
        "a0".to_owned(),
        ProbeResults {
            ready: Some(true),
            ..Default::default()
        },
    );
    let status = case.status();
    assert_eq!(condition(&status, "Ready").0, "True");
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.2"));
    case.pod.spec.as_mut().unwrap().readiness_gates =
        Some(vec![k8s_openapi::api::core::v1::PodReadinessGate {
            condition_type: "example.org/gate".to_owned(),
        }]);
    assert_eq!(
        condition(&case.status(), "Ready"),
        ("False".to_owned(), "ReadinessGatesNotReady".to_owned())
    );
}

#[test]
fn transition_times_change_with_the_status_only() {
    let mut case = Case::new(one("Always"), vec![container("a", 0, RunState::Running, 0)]);
    case.previous = case.status();
    for condition in case.previous.conditions.as_mut().unwrap() {
        condition.last_transition_time = Some(Time(at(1)));
    }
    let again = case.status();
    assert!(
        again
            .conditions
            .iter()
            .flatten()
            .all(|condition| condition.last_transition_time == Some(Time(at(1))))
    );
    assert_eq!(status_patch("u", &case.previous, &again), None);
    case.observed.containers[0].state = RunState::Exited;
    let ended = case.status();
    let patch = status_patch("u", &again, &ended).unwrap();
    let kinds: Vec<&str> = patch["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|c| c["type"].as_str())
        .collect();
    assert_eq!(kinds, ["Ready", "ContainersReady"]);
    assert!(patch["status"].get("podIP").is_none());
    assert_eq!(patch["metadata"]["uid"], "u");
}

#[test]
fn app_statuses_are_sorted_by_name_and_others_conditions_are_kept() {
    let spec = json!({"containers": [{"name": "b"}, {"name": "a"}]});
    let mut case = Case::new(
        spec,
        vec![
            container("b", 0, RunState::Running, 0),
            container("a", 0, RunState::Running, 0),
        ],
    );
    case.previous.conditions = Some(vec![
        serde_json::from_value(json!({"type": "example.org/x", "status": "True"})).unwrap(),
    ]);
    let status = case.status();
    let names: Vec<_> = status
        .container_statuses
        .iter()
        .flatten()
        .map(|status| status.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(condition(&status, "example.org/x").0, "True");
}

#[test]
fn a_terminal_phase_stays_and_lost_containers_are_named() {
    let mut case = Case::new(one("Always"), vec![]);
    case.previous.container_statuses =
        Case::new(one("Always"), vec![container("a", 0, RunState::Running, 0)])
            .status()
            .container_statuses;
    case.terminal = true;
    let status = case.status();
    let terminated = status.container_statuses.as_ref().unwrap()[0]
        .state
        .clone()
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (terminated.reason.as_deref(), terminated.exit_code),
        (Some("ContainerStatusUnknown"), 137)
    );
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    case.previous = status;
    case.terminal = false;
    case.observed.containers = vec![container("a", 1, RunState::Running, 0)];
    assert_eq!(case.phase(), "Failed");
}

#[test]
fn a_resize_is_told_from_its_beginning_to_its_end() {
    let amounts = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let spec = |cpu: &str| json!({"restartPolicy": "Always", "containers": [{"name": "a", "resources": amounts(cpu)}]});
    let case = |cpu: &str| Case::new(spec(cpu), vec![container("a", 0, RunState::Running, 0)]);
    let resources = |status: &PodStatus| {
        serde_json::to_value(&status.container_statuses.as_ref().unwrap()[0].resources).unwrap()
    };
    let has = |status: &PodStatus, kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind);
    let first = case("1").status();
    assert_eq!(resources(&first), amounts("1"));
    let mut resizing = case("2");
    resizing.previous = first;
    resizing.resizing.containers.insert("a".to_owned());
    resizing.resizing.error = Some("no".to_owned());
    let during = resizing.status();
    assert_eq!(resources(&during), amounts("1"), "it still runs with what it had");
    assert_eq!(
        condition(&during, "PodResizeInProgress"),
        ("True".to_owned(), "Error".to_owned())
    );
    let mut done = case("2");
    done.previous = during.clone();
    let after = done.status();
    assert_eq!(resources(&after), amounts("2"));
    assert!(!has(&after, "PodResizeInProgress"));
    let patch = status_patch("u", &during, &after).unwrap();
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    assert_eq!(
        conditions,
        &[json!({"type": "PodResizeInProgress", "$patch": "delete"})]
    );
    let mut pending = case("1");
    pending.resizing.pending = Some(("Deferred", "no room".to_owned()));
    assert_eq!(
        condition(&pending.status(), "PodResizePending"),
        ("True".to_owned(), "Deferred".to_owned())
    );
}

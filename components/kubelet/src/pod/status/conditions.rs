//! The pod conditions that the kubelet owns.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{StatusInput, whole_seconds};
use crate::pod::members::{PodView, Role, init_role};
use crate::pod::phase::Phase;

const OWNED: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// Set by whoever ends a pod before its time, the kubelet among others.
const DISRUPTION: &str = "DisruptionTarget";
const BY_KUBELET: &str = "TerminationByKubelet";

/// They come and go with a resize.
pub(super) const OF_RESIZE: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// Whether the kubelet decides a condition.
pub fn is_owned(kind: &str) -> bool {
    OWNED.contains(&kind) || OF_RESIZE.contains(&kind)
}

/// Whether the kubelet has set a condition.
pub fn is_ours(condition: &PodCondition) -> bool {
    is_owned(&condition.type_)
        || (condition.type_ == DISRUPTION && condition.reason.as_deref() == Some(BY_KUBELET))
}

/// Says that the kubelet ends the pod for the node's sake; who counts disruptions must not take it for a failure.
pub fn disrupt(status: &mut PodStatus, message: &str, now: jiff::Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != DISRUPTION);
    conditions.push(PodCondition {
        type_: DISRUPTION.to_owned(),
        status: "True".to_owned(),
        reason: Some(BY_KUBELET.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(whole_seconds(now))),
        ..PodCondition::default()
    });
}

struct Verdict {
    status: bool,
    reason: Option<String>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self {
            status: true,
            reason: None,
            message: None,
        }
    }
    fn no(reason: &str, message: Option<String>) -> Self {
        Self {
            status: false,
            reason: Some(reason.to_owned()),
            message,
        }
    }
}

/// The kubelet's conditions, then those of others as they were.
pub(super) fn conditions(input: &StatusInput<'_>, status: &PodStatus, phase: Phase) -> Vec<PodCondition> {
    let containers_ready = containers_ready(input, status, phase);
    let ready = ready(input, &containers_ready, phase);
    let sandbox = input
        .observed
        .sandbox()
        .is_some_and(|sandbox| sandbox.ready && (input.pod.host_network() || !sandbox.ips.is_empty()));
    let verdicts = [
        Verdict {
            status: sandbox,
            reason: None,
            message: None,
        },
        initialized(input, status, phase),
        ready,
        containers_ready,
        Verdict::yes(),
    ];
    let previous = input.previous.conditions.as_deref().unwrap_or_default();
    let mut conditions: Vec<PodCondition> = OWNED
        .iter()
        .zip(verdicts)
        .chain(of_resize(input))
        .map(|(kind, verdict)| {
            let text = if verdict.status { "True" } else { "False" };
            let before = previous.iter().find(|condition| condition.type_ == *kind);
            let unchanged = before
                .filter(|before| before.status == text)
                .and_then(|before| before.last_transition_time.clone());
            PodCondition {
                type_: (*kind).to_owned(),
                status: text.to_owned(),
                reason: verdict.reason,
                message: verdict.message,
                last_transition_time: Some(unchanged.unwrap_or(Time(whole_seconds(input.now)))),
                observed_generation: input.pod.metadata.generation,
                ..PodCondition::default()
            }
        })
        .collect();
    conditions.extend(
        previous
            .iter()
            .filter(|condition| !is_owned(&condition.type_))
            .cloned(),
    );
    conditions
}

fn of_resize(input: &StatusInput<'_>) -> Vec<(&'static &'static str, Verdict)> {
    let resizing = input.resizing;
    let mut found = Vec::new();
    if let Some((reason, message)) = &resizing.pending {
        found.push((
            &OF_RESIZE[0],
            Verdict {
                status: true,
                reason: Some((*reason).to_owned()),
                message: Some(message.clone()),
            },
        ));
    }
    if !resizing.containers.is_empty() {
        found.push((
            &OF_RESIZE[1],
            Verdict {
                status: true,
                reason: resizing.error.as_ref().map(|_| "Error".to_owned()),
                message: resizing.error.clone(),
            },
        ));
    }
    found
}

fn initialized(input: &StatusInput<'_>, status: &PodStatus, phase: Phase) -> Verdict {
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let mut incomplete = Vec::new();
    for container in input.pod.init_containers() {
        let done = statuses
            .iter()
            .find(|status| status.name == container.name)
            .is_some_and(|status| match init_role(container) {
                Role::Sidecar => status.started == Some(true) || phase.is_terminal(),
                _ => status.ready,
            });
        if !done {
            incomplete.push(container.name.as_str());
        }
    }
    let any_app = status
        .container_statuses
        .iter()
        .flatten()
        .any(|app| app.container_id.is_some());
    if phase == Phase::Succeeded && incomplete.is_empty() {
        return Verdict {
            status: true,
            reason: Some("PodCompleted".to_owned()),
            message: None,
        };
    }
    if incomplete.is_empty() || any_app {
        Verdict::yes()
    } else {
        Verdict::no(
            "ContainersNotInitialized",
            Some(format!(
                "containers with incomplete status: [{}]",
                incomplete.join(" ")
            )),
        )
    }
}

fn containers_ready(input: &StatusInput<'_>, status: &PodStatus, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", None),
        Phase::Failed => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let find = |list: &Option<Vec<ContainerStatus>>, name: &str| {
        list.iter().flatten().find(|status| status.name == name).cloned()
    };
    let mut unready = Vec::new();
    for container in input
        .pod
        .init_containers()
        .iter()
        .filter(|container| init_role(container) == Role::Sidecar)
    {
        if !find(&status.init_container_statuses, &container.name).is_some_and(|status| status.ready) {
            unready.push(container.name.clone());
        }
    }
    for container in input.pod.containers() {
        if !find(&status.container_statuses, &container.name).is_some_and(|status| status.ready) {
            unready.push(container.name.clone());
        }
    }
    if unready.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no(
            "ContainersNotReady",
            Some(format!("containers with unready status: [{}]", unready.join(" "))),
        )
    }
}

fn ready(input: &StatusInput<'_>, containers: &Verdict, phase: Phase) -> Verdict {
    if !containers.status {
        return Verdict {
            status: false,
            reason: containers.reason.clone(),
            message: containers.message.clone(),
        };
    }
    if phase.is_terminal() {
        return Verdict::no("PodCompleted", None);
    }
    let previous = input.previous.conditions.as_deref().unwrap_or_default();
    let mut unmet = Vec::new();
    for gate in input.pod.view().readiness_gates.iter().flatten() {
        match previous
            .iter()
            .find(|condition| condition.type_ == gate.condition_type)
        {
            None => unmet.push(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
            Some(condition) if condition.status != "True" => unmet.push(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, condition.status
            )),
            Some(_) => {}
        }
    }
    if unmet.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", Some(unmet.join(", ")))
    }
}

//! Pod failure policies: what a failed pod means for its job.

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::owner::Meta as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Counts towards the back-off limit.
    Count,
    /// As if it had not been.
    Ignore,
    /// Its index fails for good.
    FailIndex,
    /// The whole job fails, with this message.
    FailJob(String),
}

/// The first rule that fits decides.
pub fn judge(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec
        .pod_failure_policy
        .as_ref()
        .map(|policy| policy.rules.as_slice())
        .unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let Some(why) = matches(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Verdict::Ignore,
            "FailIndex" => Verdict::FailIndex,
            "FailJob" => Verdict::FailJob(format!("{why} matching FailJob rule at index {index}")),
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(requirement) = &rule.on_exit_codes {
        let containers = status
            .container_statuses
            .iter()
            .flatten()
            .chain(status.init_container_statuses.iter().flatten());
        let fits = |container: &&ContainerStatus| {
            let named = requirement
                .container_name
                .as_ref()
                .is_none_or(|name| *name == container.name);
            let code = exit_code(container).filter(|code| *code != 0);
            let listed = |code: i32| requirement.values.contains(&code);
            named
                && code.is_some_and(|code| {
                    if requirement.operator == "In" {
                        listed(code)
                    } else {
                        !listed(code)
                    }
                })
        };
        let container = containers.into_iter().find(fits)?;
        let code = exit_code(container).unwrap_or_default();
        return Some(format!(
            "Container {} for pod {}/{} failed with exit code {code}",
            container.name,
            pod.namespace(),
            pod.name()
        ));
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let found = patterns.iter().find(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == pattern.type_ && condition.status == wanted)
    })?;
    Some(format!(
        "Pod {}/{} has condition {}",
        pod.namespace(),
        pod.name(),
        found.type_
    ))
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    container
        .state
        .as_ref()?
        .terminated
        .as_ref()
        .map(|terminated| terminated.exit_code)
}

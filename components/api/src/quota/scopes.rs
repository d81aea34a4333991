//! Scopes of a quota: which objects it is about.

use crate::strategy::qos_class;
use crate::value::list;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a scope requires of an object.
#[derive(Clone, Copy, Debug)]
pub struct Requirement<'q> {
    pub scope: &'q str,
    pub operator: &'q str,
    pub values: &'q [Value],
}

impl Requirement<'_> {
    /// Whether a value, or that there is none, is what is required.
    fn takes(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|listed| listed == value));
        match self.operator {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

/// All requirements of a quota, or of a `ScopedResourceSelector`'s owner.
pub fn of(quota: &Value) -> impl Iterator<Item = Requirement<'_>> {
    let spec = &quota["spec"];
    let plain = list(spec, &["scopes"]).iter().filter_map(|scope| {
        Some(Requirement {
            scope: scope.as_str()?,
            operator: "Exists",
            values: &[],
        })
    });
    plain.chain(
        list(spec, &["scopeSelector", "matchExpressions"])
            .iter()
            .map(requirement),
    )
}

/// One entry of `matchExpressions`, or of a configuration's `matchScopes`.
pub fn requirement(expression: &Value) -> Requirement<'_> {
    let text = |field: &str| expression[field].as_str().unwrap_or("");
    Requirement {
        scope: text("scopeName"),
        operator: text("operator"),
        values: list(expression, &["values"]),
    }
}

/// Whether the pod is to end by itself.
pub(super) fn has_deadline(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds >= 0)
}

/// The class that was found when the pod was made, or is found now.
fn is_best_effort(pod: &Value) -> bool {
    match pod["status"]["qosClass"].as_str() {
        Some(class) if !class.is_empty() => class == "BestEffort",
        _ => qos_class(&pod["spec"]) == "BestEffort",
    }
}

pub(super) fn pod(requirement: &Requirement<'_>, pod: &Value) -> bool {
    match requirement.scope {
        "Terminating" => has_deadline(pod),
        "NotTerminating" => !has_deadline(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = pod["spec"]["priorityClassName"].as_str();
            requirement.takes(class.filter(|class| !class.is_empty()))
        }
        "CrossNamespacePodAffinity" => looks_into_other_namespaces(pod),
        _ => false,
    }
}

fn looks_into_other_namespaces(pod: &Value) -> bool {
    let affinity = &pod["spec"]["affinity"];
    let term =
        |term: &Value| !list(term, &["namespaces"]).is_empty() || term["namespaceSelector"].is_object();
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let side = &affinity[*side];
        list(side, &["requiredDuringSchedulingIgnoredDuringExecution"])
            .iter()
            .any(term)
            || list(side, &["preferredDuringSchedulingIgnoredDuringExecution"])
                .iter()
                .any(|weighted| term(&weighted["podAffinityTerm"]))
    })
}

/// Every class that a claim has, had a moment ago or is on its way to.
pub(super) fn attributes_classes(claim: &Value) -> BTreeSet<&str> {
    let status = &claim["status"];
    [
        &claim["spec"]["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ]
    .into_iter()
    .filter_map(Value::as_str)
    .filter(|name| !name.is_empty())
    .collect()
}

pub(super) fn claim(requirement: &Requirement<'_>, claim: &Value) -> bool {
    if requirement.scope != "VolumeAttributesClass" {
        return false;
    }
    let classes = attributes_classes(claim);
    if classes.is_empty() {
        return requirement.takes(None);
    }
    classes.iter().any(|class| requirement.takes(Some(class)))
}

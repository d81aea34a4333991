//! What the rules of pods let through that depends on features, or on what the object has already.
use super::annotations;
use crate::features::{Feature, Features};
use crate::strategy::pod_spec_path;
use crate::validate::addresses::Addresses;
use crate::value::{at, flag, list, text};
use serde_json::Value;

/// Of a new or changed object that has a pod's spec. What it used before its change it may go on using, whatever is on
/// (pkg/api/pod/util.go, GetValidationOptionsFromPodSpecAndMeta).
#[derive(Clone, Copy, Debug)]
pub(in crate::validate) struct Allowed {
    /// Tolerations of taints with lesser and greater values.
    pub(super) comparisons: bool,
    /// SELinux labels by mount option.
    pub(super) label_by_mount: bool,
    /// The host's network for pods with users of their own.
    pub(super) host_network_with_own_users: bool,
    /// Costs of deletion that are no numbers.
    pub(super) any_deletion_cost: bool,
    /// Sleeps of no seconds.
    pub(super) zero_sleep: bool,
    /// Rules that restart all containers.
    pub(super) restart_all: bool,
    /// Selectors into which label keys were merged.
    pub(super) merged_label_keys: bool,
    /// Addresses that programs read in different ways.
    pub(super) ambiguous_addresses: bool,
}

impl Allowed {
    /// For objects of a kind.
    pub(in crate::validate) fn of(features: Features, kind: &str, old: Option<&Value>) -> Self {
        let path = pod_spec_path(kind);
        let before = old.zip(path).map(|(old, path)| at(old, path));
        let had = |used: fn(&Value) -> bool| before.is_some_and(used);
        let allowed = |feature, used| features.has(feature) || had(used);
        let metadata = old.zip(path).map(|(old, path)| at(old, &path[..path.len() - 1]));
        Self {
            comparisons: allowed(Feature::TaintTolerationComparisonOperators, |spec| {
                list(spec, &["tolerations"])
                    .iter()
                    .any(|toleration| matches!(text(toleration, &["operator"]), "Lt" | "Gt"))
            }),
            label_by_mount: allowed(Feature::SELinuxMount, |spec| {
                !at(spec, &["securityContext", "seLinuxChangePolicy"]).is_null()
            }),
            host_network_with_own_users: allowed(Feature::UserNamespacesHostNetworkSupport, |spec| {
                at(spec, &["hostUsers"]) == &Value::Bool(false) && flag(spec, &["hostNetwork"])
            }),
            any_deletion_cost: !features.has(Feature::PodDeletionCost)
                || metadata.is_some_and(|before| annotations::bad_deletion_cost(before).is_some()),
            zero_sleep: allowed(Feature::PodLifecycleSleepActionAllowZero, |spec| {
                containers(spec).any(|container| {
                    ["preStop", "postStart"].iter().any(|hook| {
                        let sleep = at(container, &["lifecycle", hook, "sleep"]);
                        sleep.is_object() && at(sleep, &["seconds"]).as_i64().unwrap_or(0) == 0
                    })
                })
            }),
            restart_all: allowed(Feature::RestartAllContainersOnContainerExits, |spec| {
                containers(spec).any(|container| {
                    let rules = list(container, &["restartPolicyRules"]);
                    rules
                        .iter()
                        .any(|rule| text(rule, &["action"]) == "RestartAllContainers")
                })
            }),
            merged_label_keys: features.has(Feature::MatchLabelKeysInPodTopologySpreadSelectorMerge)
                || old.is_some(),
            ambiguous_addresses: !features.has(Feature::StrictIPCIDRValidation),
        }
    }

    /// How addresses are checked. Those of a spec that is changed are checked like new ones, as upstream.
    pub(super) fn addresses(self) -> Addresses<'static> {
        Addresses::strict(!self.ambiguous_addresses)
    }

    /// For tolerations that are of no pod.
    pub(in crate::validate) fn new(features: Features) -> Self {
        Self::of(features, "", None)
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(spec, &[kind]))
}

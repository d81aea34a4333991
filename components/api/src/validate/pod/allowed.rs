//! What the rules of pods let through that depends on features, or on what the object has already.
use super::{affinity, annotations, resources, scheduling, security, volumes};
use crate::features::{Feature, Features};
use crate::strategy::pod_spec_path;
use crate::validate::addresses::Addresses;
use crate::validate::shared::has_invalid_values;
use crate::value::{at, flag, list, text};
use annotations::containers;
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
    /// Block devices for pods with users of their own.
    pub(super) devices_with_own_users: bool,
    /// Costs of deletion that are no numbers.
    pub(super) any_deletion_cost: bool,
    /// Sleeps of no seconds.
    pub(super) zero_sleep: bool,
    /// Restart policies of containers of their own, and rules for these.
    pub(super) restart_rules: bool,
    /// Rules that restart all containers, and rules for sidecars.
    pub(super) restart_all: bool,
    /// Resizing of sidecars in a way of their own.
    pub(super) sidecar_resize_policy: bool,
    /// Resizing by a restart of initial containers, which are not restarted.
    pub(super) initial_resize_by_restart: bool,
    /// Resources of the pod as a whole, without which they are not looked at.
    pub(super) pod_resources: bool,
    /// Selectors into which label keys were merged.
    pub(super) merged_label_keys: bool,
    /// Constraints of topology whose selectors are none.
    pub(super) any_spread_selector: bool,
    /// Values in selectors that no label can have.
    pub(in crate::validate) any_selector_values: bool,
    /// Values in required node affinity that no label can have.
    pub(super) any_node_values: bool,
    /// Parts of huge pages.
    pub(super) parts_of_huge_pages: bool,
    /// Paths of projected tokens that lead out of the volume.
    pub(super) any_token_path: bool,
    /// Sysctls of what the pod shares with the host.
    pub(super) host_sysctls: bool,
    /// Addresses that programs read in different ways.
    pub(super) ambiguous_addresses: bool,
}

impl Allowed {
    /// For objects of a kind, of which the old one is there already.
    pub(in crate::validate) fn of(features: Features, kind: &str, old: Option<&Value>) -> Self {
        let path = pod_spec_path(kind);
        let before = old.zip(path).map(|(old, path)| at(old, path));
        let had = |used: fn(&Value) -> bool| before.is_some_and(used);
        let allowed = |feature, used| features.has(feature) || had(used);
        let metadata = old.zip(path).map(|(old, path)| at(old, &path[..path.len() - 1]));
        // The selectors of these kinds were checked less closely once.
        let selects = matches!(kind, "Job" | "DaemonSet").then_some(old).flatten();
        let merges = features.has(Feature::MatchLabelKeysInPodTopologySpread)
            && features.has(Feature::MatchLabelKeysInPodTopologySpreadSelectorMerge);
        let against_keys = before.is_some_and(|spec| scheduling::spreads_by_invalid_keys(spec, merges));
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
                has_own_users(spec) && flag(spec, &["hostNetwork"])
            }),
            devices_with_own_users: had(|spec| {
                let uses = |container| !list(container, &["volumeDevices"]).is_empty();
                has_own_users(spec) && containers(spec).any(|(_, _, container)| uses(container))
            }),
            any_deletion_cost: !features.has(Feature::PodDeletionCost)
                || metadata.is_some_and(|before| annotations::bad_deletion_cost(before).is_some()),
            zero_sleep: allowed(Feature::PodLifecycleSleepActionAllowZero, |spec| {
                containers(spec).any(|(_, _, container)| {
                    ["preStop", "postStart"].iter().any(|hook| {
                        let sleep = at(container, &["lifecycle", hook, "sleep"]);
                        sleep.is_object() && at(sleep, &["seconds"]).as_i64().unwrap_or(0) == 0
                    })
                })
            }),
            restart_rules: allowed(Feature::ContainerRestartRules, |spec| {
                containers(spec).any(|(kind, _, container)| {
                    let policy = at(container, &["restartPolicy"]);
                    match kind {
                        "initContainers" => {
                            !matches!(policy.as_str(), None | Some("Always")) || has_rules(container)
                        }
                        kind => kind == "containers" && !policy.is_null(),
                    }
                })
            }),
            restart_all: allowed(Feature::RestartAllContainersOnContainerExits, |spec| {
                containers(spec).any(|(kind, _, container)| {
                    let rules = list(container, &["restartPolicyRules"]);
                    let all = rules
                        .iter()
                        .any(|rule| text(rule, &["action"]) == "RestartAllContainers");
                    all || (kind == "initContainers" && is_sidecar(container) && has_rules(container))
                })
            }),
            sidecar_resize_policy: allowed(Feature::InPlacePodVerticalScaling, |spec| {
                list(spec, &["initContainers"])
                    .iter()
                    .any(|container| is_sidecar(container) && !list(container, &["resizePolicy"]).is_empty())
            }),
            initial_resize_by_restart: had(|spec| {
                list(spec, &["initContainers"])
                    .iter()
                    .any(|container| !is_sidecar(container) && restarts_to_resize(container))
            }),
            pod_resources: features.has(Feature::PodLevelResources),
            // An object that breaks the rule of the moment is held to the other.
            merged_label_keys: merges != against_keys,
            any_spread_selector: had(scheduling::spreads_by_invalid_selectors),
            any_selector_values: had(affinity::selects_invalid_pods)
                || selects.is_some_and(|old| has_invalid_values(at(old, &["spec", "selector"]))),
            any_node_values: had(affinity::requires_invalid_values),
            parts_of_huge_pages: had(resources::has_parts_of_huge_pages),
            any_token_path: had(volumes::projects_tokens_elsewhere),
            host_sysctls: had(security::sets_host_sysctls),
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

fn has_own_users(spec: &Value) -> bool {
    at(spec, &["hostUsers"]) == &Value::Bool(false)
}

fn has_rules(container: &Value) -> bool {
    !list(container, &["restartPolicyRules"]).is_empty()
}

fn is_sidecar(container: &Value) -> bool {
    text(container, &["restartPolicy"]) == "Always"
}

/// Whether one of the container's policies restarts it when it is resized.
pub(super) fn restarts_to_resize(container: &Value) -> bool {
    list(container, &["resizePolicy"])
        .iter()
        .any(|policy| text(policy, &["restartPolicy"]) == "RestartContainer")
}

#[cfg(test)]
mod tests;

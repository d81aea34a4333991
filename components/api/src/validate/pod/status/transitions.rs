//! Containers that ended stay ended, unless they are started again by their pod's rules or their own.
use crate::validate::pod::Allowed;
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Statuses of one kind of containers, and where the containers are.
pub(super) fn check(
    old: &Value,
    new: &Value,
    (statuses, containers): (&str, &str),
    allowed: Allowed,
    path: &Path,
) -> ErrorList {
    let spec = at(old, &["spec"]);
    let ephemeral = containers == "ephemeralContainers";
    let restarts_all = || {
        ["containers", "initContainers"]
            .iter()
            .flat_map(|kind| list(spec, &[kind]))
            .flat_map(|container| list(container, &["restartPolicyRules"]))
            .any(|rule| text(rule, &["action"]) == "RestartAllContainers")
    };
    let whole_pod = text(spec, &["restartPolicy"]);
    if !ephemeral {
        let all_may = if allowed.restart_rules {
            allowed.restart_all && restarts_all()
        } else {
            whole_pod == "Always"
        };
        if all_may {
            return ErrorList::new();
        }
    }
    let restarts = |name: &str, code: i64| {
        let container = list(spec, &[containers])
            .iter()
            .find(|container| text(container, &["name"]) == name);
        if ephemeral {
            false
        } else if allowed.restart_rules {
            container.is_some_and(|container| restarts(container, whole_pod, code))
        } else {
            let sidecar = containers == "initContainers"
                && container.is_some_and(|container| text(container, &["restartPolicy"]) == "Always");
            (code != 0 && whole_pod == "OnFailure") || sidecar
        }
    };
    let mut errors = ErrorList::new();
    for (index, before) in list(old, &["status", statuses]).iter().enumerate() {
        let (name, ended) = (text(before, &["name"]), at(before, &["state", "terminated"]));
        if !ended.is_object() {
            continue;
        }
        let again = list(new, &["status", statuses])
            .iter()
            .any(|after| text(after, &["name"]) == name && !at(after, &["state", "terminated"]).is_object());
        if again && !restarts(name, at(ended, &["exitCode"]).as_i64().unwrap_or(0)) {
            errors.push(Error::forbidden(
                &path.index(index).child("state"),
                "may not be transitioned to non-terminated state",
            ));
        }
    }
    errors
}

/// Whether a container that ended with this code is started again: by the first rule that fits, else by its own policy,
/// else by its pod's.
fn restarts(container: &Value, whole_pod: &str, code: i64) -> bool {
    let fits = |rule: &&Value| {
        let listed = list(rule, &["exitCodes", "values"]).contains(&Value::from(code));
        match text(rule, &["exitCodes", "operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    };
    if list(container, &["restartPolicyRules"])
        .iter()
        .any(|rule| fits(&rule))
    {
        return true;
    }
    let policy = at(container, &["restartPolicy"]).as_str().unwrap_or(whole_pod);
    match policy {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Feature, Features};
    use serde_json::json;

    #[test]
    fn a_container_runs_again_where_its_pod_or_its_own_rules_say() {
        let rules = |operator: &str| json!([{"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}]);
        let all = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]);
        for (pod, container, code, may) in [
            ("Always", json!({}), 0, true),
            ("Always", json!({"restartPolicy": "Never"}), 1, false),
            ("Never", json!({}), 1, false),
            ("Never", json!({"restartPolicy": "OnFailure"}), 1, true),
            ("Never", json!({"restartPolicy": "OnFailure"}), 0, false),
            (
                "Never",
                json!({"restartPolicy": "Never", "restartPolicyRules": rules("In")}),
                42,
                true,
            ),
            (
                "Never",
                json!({"restartPolicy": "Never", "restartPolicyRules": rules("In")}),
                1,
                false,
            ),
            (
                "Never",
                json!({"restartPolicy": "Never", "restartPolicyRules": rules("NotIn")}),
                1,
                true,
            ),
            (
                "Never",
                json!({"restartPolicy": "Never", "restartPolicyRules": all}),
                0,
                true,
            ),
        ] {
            let mut main = container.clone();
            main["name"] = json!("main");
            let pod = |state: Value| {
                json!({
                    "spec": {"restartPolicy": pod, "containers": [main]},
                    "status": {"containerStatuses": [{"name": "main", "state": state}]},
                })
            };
            let old = pod(json!({"terminated": {"exitCode": code}}));
            let allowed = Allowed::of(Features::default(), "Pod", Some(&old));
            let kind = ("containerStatuses", "containers");
            let errors = check(&old, &pod(json!({"running": {}})), kind, allowed, &Path::new("s"));
            assert_eq!(errors.is_empty(), may, "{container} {code}");
        }
    }

    #[test]
    fn without_the_feature_the_pods_policy_is_for_all() {
        let features = Features::default().with(Feature::ContainerRestartRules, false);
        for (kind, containers, policy, may) in [
            ("containerStatuses", "containers", "Always", true),
            ("containerStatuses", "containers", "OnFailure", true),
            ("containerStatuses", "containers", "Never", false),
            ("initContainerStatuses", "initContainers", "Never", true),
            (
                "ephemeralContainerStatuses",
                "ephemeralContainers",
                "Always",
                false,
            ),
        ] {
            let container = if containers == "initContainers" {
                json!({"name": "c", "restartPolicy": "Always"})
            } else {
                json!({"name": "c"})
            };
            let pod = |state: Value| {
                let mut pod = json!({"spec": {"restartPolicy": policy}, "status": {}});
                pod["spec"][containers] = json!([container]);
                pod["status"][kind] = json!([{"name": "c", "state": state}]);
                pod
            };
            let old = pod(json!({"terminated": {"exitCode": 1}}));
            let allowed = Allowed::of(features, "Pod", Some(&old));
            let new = pod(json!({"running": {}}));
            let errors = check(&old, &new, (kind, containers), allowed, &Path::new("s"));
            assert_eq!(errors.is_empty(), may, "{kind} {policy}");
        }
    }
}

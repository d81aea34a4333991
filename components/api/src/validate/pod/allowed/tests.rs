use super::super::whole;
use super::*;
use serde_json::json;

/// A pod with these fields of its spec, and these of its container.
fn pod(fields: Value, of_container: Value) -> Value {
    let mut container = json!({
        "name": "main", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
    });
    merge(&mut container, of_container);
    let mut spec = json!({
        "containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30, "securityContext": {},
    });
    merge(&mut spec, fields);
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn merge(into: &mut Value, fields: Value) {
    for (name, value) in fields.as_object().cloned().into_iter().flatten() {
        into[name] = value;
    }
}

/// What older servers took stays where it is, and comes nowhere new.
#[test]
fn what_was_taken_once_may_stay() {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-bad-"]}]});
    let initial = |fields: Value| {
        let mut container = json!({
            "name": "init", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
        });
        merge(&mut container, fields);
        json!({"initContainers": [container]})
    };
    let token = json!({"serviceAccountName": "a", "volumes": [{"name": "v", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "../token", "expirationSeconds": 3600}},
    ]}}]});
    for (name, fields, of_container, why) in [
        (
            "a token outside its volume",
            token,
            json!({}),
            "spec.volumes[0].projected.path: Invalid value: \"../token\": must not contain '..'",
        ),
        (
            "huge pages",
            json!({}),
            json!({"resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}}),
            "3Mi is not positive integer multiple of hugepages-2Mi",
        ),
        (
            "pod affinity",
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": selector, "topologyKey": "k"}
            ]}}}),
            json!({}),
            "labelSelector.matchExpressions[0].values[0]: Invalid value",
        ),
        (
            "node affinity",
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [selector]
            }}}}),
            json!({}),
            "matchExpressions[0].values[0]: Invalid value",
        ),
        (
            "topology",
            json!({"topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector
            }]}),
            json!({}),
            "labelSelector.matchExpressions[0].values[0]: Invalid value",
        ),
        (
            "sysctls",
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.a", "value": "1"}]}}),
            json!({}),
            "may not be specified when 'hostNetwork' is true",
        ),
        (
            "devices",
            json!({"hostUsers": false, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]}),
            json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}),
            "spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false",
        ),
        (
            "tolerations",
            json!({"tolerations": [{"key": "a", "operator": "Gt", "value": "1"}]}),
            json!({}),
            "supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\"",
        ),
        (
            "resizing",
            initial(json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]})),
            json!({}),
            "initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set",
        ),
    ] {
        let pod = pod(fields, of_container);
        let told = |old: Option<&Value>| -> Vec<String> {
            let allowed = Allowed::of(Features::default(), "Pod", old);
            let errors = whole(&pod, allowed);
            errors.iter().map(ToString::to_string).collect()
        };
        let new = told(None);
        assert!(new.len() == 1 && new[0].contains(why), "{name}: {new:?}");
        assert_eq!(told(Some(&pod)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn without_their_features_fields_that_are_there_are_checked_as_before() {
    let without = |feature| Features::default().with(feature, false);
    let own_policy = json!({"restartPolicy": "Never"});
    let sidecar = json!({"initContainers": [{
        "name": "init", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
        "restartPolicy": "Always",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
    }]});
    for (feature, pod, why) in [
        (
            Feature::ContainerRestartRules,
            pod(json!({}), own_policy),
            "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
        ),
        (
            Feature::RestartAllContainersOnContainerExits,
            pod(sidecar, json!({})),
            "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with restart policy Always",
        ),
    ] {
        let told = |features, old| -> Vec<String> {
            let errors = whole(&pod, Allowed::of(features, "Pod", old));
            errors.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(Features::default(), None), Vec::<String>::new());
        assert_eq!(told(without(feature), None), [why]);
        assert_eq!(told(without(feature), Some(&pod)), Vec::<String>::new());
    }
}

/// Keys of labels that fit the rule of the moment are held to it; those that don't, to the other.
#[test]
fn label_keys_are_held_to_one_of_two_rules() {
    const BOTH: &str = "exists in both matchLabelKeys and labelSelector";
    let by_labels = json!({"matchLabels": {"a": "b"}});
    let by_expression = |count: usize| {
        let expression = json!({"key": "a", "operator": "In", "values": ["b"]});
        json!({"matchExpressions": vec![expression; count]})
    };
    let pod = |selector: &Value| {
        pod(
            json!({"topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule",
                "matchLabelKeys": ["a"], "labelSelector": selector,
            }]}),
            json!({}),
        )
    };
    let merging = Features::default();
    let plain = merging.with(Feature::MatchLabelKeysInPodTopologySpreadSelectorMerge, false);
    for (features, old, new, wrong) in [
        (merging, None, by_expression(1), None),
        (
            merging,
            None,
            by_expression(2),
            Some("spec.topologySpreadConstraints[0][0]"),
        ),
        (
            plain,
            None,
            by_labels.clone(),
            Some("spec.topologySpreadConstraints[0].matchLabelKeys[0]"),
        ),
        (plain, Some(by_expression(1)), by_expression(1), None),
        (
            merging,
            Some(by_expression(2)),
            by_expression(2),
            Some("spec.topologySpreadConstraints[0].matchLabelKeys[0]"),
        ),
    ] {
        let old = old.map(|selector| pod(&selector));
        let errors = whole(&pod(&new), Allowed::of(features, "Pod", old.as_ref()));
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let wanted: Vec<String> = wrong
            .iter()
            .map(|path| format!("{path}: Invalid value: \"a\": {BOTH}"))
            .collect();
        assert_eq!(told, wanted, "{new}");
    }
}

#[test]
fn costs_of_deletion_are_numbers_without_plus_or_zeros() {
    for (cost, fits) in [
        ("0", true),
        ("10", true),
        ("-10", true),
        ("-01", true),
        ("-0", true),
        ("01", false),
        ("+1", false),
        ("", false),
        ("-", false),
        ("2147483648", false),
    ] {
        let pod = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
        assert_eq!(annotations::bad_deletion_cost(&pod).is_none(), fits, "{cost:?}");
    }
}

use super::*;
use crate::Registry;

fn cells_of(group: &str, version: &str, plural: &str, object: Value) -> Vec<Value> {
    let registry = Registry::built_in();
    let resource = registry.resource(group, version, plural).unwrap();
    let cells = cells(resource, &object, "2026-01-01T00:10:00Z".parse().unwrap());
    assert!(cells.len() >= resource.columns.len(), "{plural}");
    cells
}

#[test]
fn pods() {
    let meta = json!({"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"});
    for (status, ready, state, restarts) in [
        (json!({"phase": "Pending"}), "0/1", "Pending", "0"),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}}]}),
            "1/1",
            "Running",
            "2 (5m ago)",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "0/1",
            "CrashLoopBackOff",
            "1",
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
            "0/1",
            "Completed",
            "0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "0/1",
            "Init:0/0",
            "0",
        ),
    ] {
        let cells = cells_of(
            "",
            "v1",
            "pods",
            json!({"metadata": meta, "spec": {"containers": [{"name": "a"}]}, "status": status}),
        );
        assert_eq!(
            cells[1..5],
            [json!(ready), json!(state), json!(restarts), json!("10m")]
        );
    }
}

#[test]
fn nodes_services_and_the_rest() {
    let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.2"}}});
    assert_eq!(
        cells_of("", "v1", "nodes", node)[1..5],
        [
            json!("Ready,SchedulingDisabled"),
            json!("control-plane"),
            json!("<unknown>"),
            json!("v1.36.2")
        ]
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}]}});
    assert_eq!(
        cells_of("", "v1", "services", service)[1..5],
        [
            json!("NodePort"),
            json!("10.0.0.1"),
            json!("<none>"),
            json!("80:30000/TCP")
        ]
    );
    for resource in Registry::built_in()
        .iter()
        .filter(|resource| !resource.columns.is_empty() && resource.is_stored())
    {
        let object = json!({"metadata": {"name": "x"}});
        assert!(
            cells(resource, &object, Timestamp::now()).len() >= resource.columns.len(),
            "{}",
            resource.plural
        );
    }
}

/// Cells that `kubectl get` of upstream has and that took longer to find.
#[test]
fn rarer_cells() {
    let endpoints = |subsets| {
        cells_of(
            "",
            "v1",
            "endpoints",
            json!({"metadata": {"name": "x"}, "subsets": subsets}),
        )[1]
        .clone()
    };
    assert_eq!(endpoints(json!([])), "<none>");
    assert_eq!(endpoints(json!([{"notReadyAddresses": [{"ip": "1.1.1.1"}]}])), "");

    let slice = |ports| {
        let slice = json!({"metadata": {"name": "x"}, "addressType": "IPv4", "ports": ports});
        cells_of("discovery.k8s.io", "v1", "endpointslices", slice)[2].clone()
    };
    assert_eq!(slice(json!([{"name": "foo"}])), "foo");
    assert_eq!(slice(json!([{"name": "", "protocol": "TCP"}])), "<unset>");
    assert_eq!(slice(json!([{"name": "a", "port": 80}, {}])), "80,*");

    let hosts = |hosts: &[&str]| {
        let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        let ingress = json!({"metadata": {"name": "x"}, "spec": {"rules": rules}});
        cells_of("networking.k8s.io", "v1", "ingresses", ingress)[2].clone()
    };
    for (given, shown) in [
        (&[][..], "*"),
        (&["", ""], "*"),
        (&["a", "b", "c"], "a,b,c"),
        (&["a", "b", "c", ""], "a,b,c + 1 more..."),
        (&["", "a", "b", "c", "d"], "a,b,c + 2 more..."),
        (&["", "a", "b", "c"], "a,b,c"),
    ] {
        assert_eq!(hosts(given), shown, "{given:?}");
    }

    let beta = json!({"name": "x", "annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}});
    let spec = json!({"storageClassName": "slow", "volumeAttributesClassName": ""});
    let claim = json!({"metadata": beta, "spec": spec});
    assert_eq!(
        cells_of("", "v1", "persistentvolumeclaims", claim)[5..7],
        [json!("fast"), json!("")]
    );
    let volume = json!({"metadata": beta, "spec": {"storageClassName": "slow"}});
    assert_eq!(
        cells_of("", "v1", "persistentvolumes", volume)[6..8],
        [json!("fast"), json!("<unset>")]
    );

    let event = json!({"metadata": {"name": "x"}, "involvedObject": {"kind": "Pod"}});
    assert_eq!(cells_of("", "v1", "events", event)[3], "pod");

    let parameter = |reference| {
        let binding = json!({"metadata": {"name": "x"}, "spec": {"policyName": "p", "paramRef": reference}});
        cells_of(
            "admissionregistration.k8s.io",
            "v1",
            "validatingadmissionpolicybindings",
            binding,
        )[2]
        .clone()
    };
    for (reference, shown) in [
        (Value::Null, "<unset>"),
        (json!({"name": "n"}), "*/n"),
        (json!({"name": "n", "namespace": "s"}), "s/n"),
        (
            json!({"namespace": "s", "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}}),
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
    ] {
        assert_eq!(parameter(reference), shown);
    }

    let exempt = json!({"metadata": {"name": "x"}, "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}});
    let cells = cells_of(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "prioritylevelconfigurations",
        exempt,
    );
    assert_eq!(cells[2], "<none>");
}

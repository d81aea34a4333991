use super::*;
use crate::features::Feature;
use crate::{Registry, defaults};
use serde_json::json;

fn told(result: Result<(), ApiError>) -> String {
    result.map_or_else(|error| error.to_string(), |()| String::new())
}

/// A gate, a resource and an object of it, and what is told of the object when the gate stands otherwise than by default.
#[test]
fn new_objects_are_checked_as_their_gates_say() {
    let service =
        |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec});
    let backend = json!({"service": {"name": "1st", "port": {"number": 80}}});
    for (feature, group, resource, object, why) in [
        (
            Feature::RelaxedServiceNameValidation,
            "",
            "services",
            service("1st", json!({"type": "ExternalName", "externalName": "e.x"})),
            "metadata.name: Invalid value: \"1st\": a DNS-1035 label",
        ),
        (
            Feature::RelaxedServiceNameValidation,
            "networking.k8s.io",
            "ingresses",
            service("i", json!({"defaultBackend": backend})),
            "spec.defaultBackend.service.name: Invalid value: \"1st\": a DNS-1035 label",
        ),
        (
            Feature::PreferSameTrafficDistribution,
            "",
            "services",
            service(
                "s",
                json!({"type": "ExternalName", "externalName": "e.x", "trafficDistribution": "PreferSameZone"}),
            ),
            "spec.trafficDistribution: Unsupported value: \"PreferSameZone\"",
        ),
    ] {
        for on in [true, false] {
            let registry = Registry::with_features(Features::default().with(feature, on));
            let row = registry.resource(group, "v1", resource).unwrap();
            let mut object = object.clone();
            defaults::apply(row, &mut object);
            let told = told(create(row, &object));
            assert_eq!(told.contains(why), !on, "{feature:?} {on}: {told}");
        }
    }
}

#[test]
fn what_may_change_goes_by_the_gates() {
    let affinity = |zone: &str| {
        let requirement = json!({"key": "zone", "operator": "In", "values": [zone]});
        json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}})
    };
    let volume = |zone: &str| {
        json!({
            "metadata": {"name": "v", "resourceVersion": "1"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/a"}, "nodeAffinity": affinity(zone),
            },
        })
    };
    for on in [true, false] {
        let features = Features::default().with(Feature::MutablePVNodeAffinity, on);
        let registry = Registry::with_features(features);
        let row = registry.resource("", "v1", "persistentvolumes").unwrap();
        let told = told(update(row, "", &volume("a"), &volume("b"), &Unchanged::default()));
        assert_eq!(told.contains("nodeAffinity"), !on, "{told}");
    }
}

#[test]
fn a_job_that_was_let_through_may_still_change() {
    let toleration = json!({"key": "sla", "operator": "Gt", "value": "950"});
    let features = Features::default();
    assert!(!features.has(Feature::TaintTolerationComparisonOperators));
    let registry = Registry::with_features(features);
    let row = registry.resource("batch", "v1", "jobs").unwrap();
    let mut job = json!({
        "metadata": {"name": "j", "namespace": "n", "uid": "u", "resourceVersion": "1"},
        "spec": {"template": {"spec": {
            "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never", "tolerations": [toleration],
        }}},
    });
    defaults::apply(row, &mut job);
    crate::strategy::prepare_create(row, &mut job).unwrap();
    let mut changed = job.clone();
    changed["spec"]["parallelism"] = json!(2);
    assert_eq!(told(update(row, "", &job, &changed, &Unchanged::default())), "");
    assert!(told(create(row, &job)).contains("tolerations[0].operator"));
}

#[test]
fn stateful_sets_get_their_default_with_the_feature() {
    for (on, wanted) in [(true, json!(1)), (false, Value::Null)] {
        let features = Features::default().with(Feature::MaxUnavailableStatefulSet, on);
        let registry = Registry::with_features(features);
        let row = registry.resource("apps", "v1", "statefulsets").unwrap();
        let mut set = json!({"spec": {}});
        defaults::apply(row, &mut set);
        assert_eq!(
            set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
            wanted
        );
    }
}

#[test]
fn ambiguous_addresses_stay_where_they_were_but_come_nowhere_new() {
    let meta = || json!({"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1"});
    let service = |addresses: &[&str]| {
        json!({"metadata": meta(), "spec": {
            "type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
            "externalIPs": addresses, "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
            "sessionAffinity": "None",
        }})
    };
    let policy = |ranges: &[&str]| {
        let peers: Vec<Value> = ranges
            .iter()
            .map(|range| json!({"ipBlock": {"cidr": range}}))
            .collect();
        json!({"metadata": meta(), "spec": {"podSelector": {}, "ingress": [{"from": peers}]}})
    };
    let slice = |addresses: &[&str]| {
        let endpoints: Vec<Value> = addresses.iter().map(|ip| json!({"addresses": [ip]})).collect();
        json!({"metadata": meta(), "addressType": "IPv4", "endpoints": endpoints, "ports": []})
    };
    let endpoints = |addresses: &[&str]| {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        json!({"metadata": meta(), "subsets": [{"addresses": addresses}]})
    };
    type Make<'a> = &'a dyn Fn(&[&str]) -> Value;
    // What is in a list may move in it; endpoints are compared as a whole.
    for (group, resource, bad, good, make, moves) in [
        (
            "",
            "services",
            "010.0.0.1",
            "10.0.0.2",
            &service as Make<'_>,
            true,
        ),
        (
            "networking.k8s.io",
            "networkpolicies",
            "10.0.0.1/8",
            "10.0.0.0/8",
            &policy,
            true,
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            "::ffff:10.0.0.1",
            "10.0.0.2",
            &slice,
            false,
        ),
        ("", "endpoints", "010.0.0.1", "10.0.0.2", &endpoints, false),
    ] {
        let features = Features::default();
        let registry = Registry::with_features(features);
        let row = registry.resource(group, "v1", resource).unwrap();
        let object = |values: &[&str]| {
            let mut object = make(values);
            defaults::apply(row, &mut object);
            object
        };
        let changed = |old: &[&str], new: &[&str]| {
            told(update(row, "", &object(old), &object(new), &Unchanged::default()))
        };
        assert!(
            told(create(row, &object(&[bad]))).contains("must not"),
            "{resource}"
        );
        assert_eq!(told(create(row, &object(&[good]))), "", "{resource}");
        assert!(changed(&[good], &[bad]).contains("must not"), "{resource}");
        assert_eq!(changed(&[bad], &[bad]), "", "{resource}");
        assert_eq!(changed(&[bad], &[good, bad]).is_empty(), moves, "{resource}");
        let off = Registry::with_features(features.with(Feature::StrictIPCIDRValidation, false));
        let row = off.resource(group, "v1", resource).unwrap();
        assert_eq!(told(create(row, &object(&[bad]))), "", "{resource}");
    }
}

#[test]
fn a_name_that_begins_like_an_address_is_none_when_something_is_to_follow() {
    let registry = Registry::with_features(Features::default());
    let row = registry
        .resource("networking.k8s.io", "v1", "ipaddresses")
        .unwrap();
    let address = json!({
        "metadata": {"generateName": "10.0.0.", "name": "10.0.0.x2b7p"},
        "spec": {"parentRef": {"resource": "services", "name": "s"}},
    });
    let told = told(create(row, &address));
    let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let both = format!(
        "[metadata.generateName: Invalid value: \"10.0.0.\": {why}, metadata.name: Invalid value: \"10.0.0.x2b7p\": {why}]"
    );
    assert!(told.ends_with(&both), "{told}");
}

#[test]
fn owners_have_a_version() {
    let registry = Registry::built_in();
    let row = registry.resource("", "v1", "configmaps").unwrap();
    for (version, kind, why) in [
        ("v1", "Pod", None),
        ("apps/v1", "Deployment", None),
        ("/v1", "Pod", None),
        ("", "Pod", Some("\"\": version must not be empty")),
        ("a/", "Pod", Some("\"a/\": version must not be empty")),
        ("a/b/c", "Pod", Some("\"a/b/c\": version must not be empty")),
        (
            "/v1",
            "Event",
            Some("/v1, Kind=Event is disallowed from being an owner"),
        ),
        ("events.k8s.io/v1", "Event", None),
    ] {
        let owner = json!({"apiVersion": version, "kind": kind, "name": "o", "uid": "u"});
        let object = json!({"metadata": {"name": "a", "namespace": "n", "ownerReferences": [owner]}});
        let told = told(create(row, &object));
        match why {
            Some(why) => assert!(told.contains(why), "{version}: {told}"),
            None => assert_eq!(told, "", "{version}"),
        }
    }
}

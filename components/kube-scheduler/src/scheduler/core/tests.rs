//! Scenarios from the watch to the decision.

use std::time::Duration;

use component_config::kube_scheduler::KubeSchedulerConfiguration;
use serde_json::{Value, json};

use super::*;

fn core() -> Core {
    let profiles = Profile::all(&KubeSchedulerConfiguration::default()).expect("default profiles");
    Core::new(profiles, Timing::default(), 1)
}

fn node(name: &str, cpu: &str, more: Value) -> Node {
    let mut object = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    });
    merge(&mut object, more);
    Node::of(&serde_json::from_value(object).expect("a node"))
}

fn pod(name: &str, spec: Value) -> Pod {
    labelled(name, json!({}), spec)
}

fn labelled(name: &str, labels: Value, spec: Value) -> Pod {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "i"}], "schedulerName": "default-scheduler"},
    });
    merge(&mut object["spec"], spec);
    Pod::of(&serde_json::from_value(object).expect("a pod"))
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "main", "image": "i", "resources": {"requests": {"cpu": amount}}}]})
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn zone(zone: &str) -> Value {
    json!({"metadata": {"labels": {"zone": zone}}})
}

/// The outcome of the next attempt: the node, or the message.
fn attempt(core: &mut Core, now: Instant) -> Result<String, String> {
    match core.step(now) {
        None => Err("nobody's turn".to_owned()),
        Some(Step::Bind(bind)) => Ok(bind.node),
        Some(Step::Reject(reject)) => Err(reject.message),
    }
}

/// Adds the pod and attempts it; a placed pod is confirmed as the watch would do it.
fn place(core: &mut Core, pod: Pod) -> Result<String, String> {
    let now = Instant::now();
    core.set_pod(pod.clone(), now);
    let node = attempt(core, now)?;
    core.set_pod(
        Pod {
            node_name: Some(node.clone()),
            ..pod
        },
        now,
    );
    Ok(node)
}

const USELESS: &str = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

#[test]
fn messages_are_upstreams() {
    let affinity = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}]}}});
    let selector = json!({"nodeSelector": {"zone": "b"}});
    let taint = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    let cordon = json!({"spec": {"unschedulable": true}});
    let claim = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    for (node_more, spec, message) in [
        (zone("a"), cpu("5"), "1 Insufficient cpu."),
        (zone("a"), affinity, "1 node(s) didn't match pod affinity rules."),
        (
            zone("a"),
            selector,
            "1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (taint, json!({}), "1 node(s) had untolerated taint(s)."),
        (cordon, json!({}), "1 node(s) were unschedulable."),
        (json!({}), claim, "persistentvolumeclaim \"c\" not found."),
    ] {
        let mut core = core();
        core.set_node(node("n1", "4", node_more), Instant::now());
        let expected = format!("0/1 nodes are available: {message} {USELESS}");
        assert_eq!(place(&mut core, pod("p", spec)), Err(expected));
    }
    assert_eq!(
        place(&mut core(), pod("p", json!({}))),
        Err("no nodes available to schedule pods".to_owned())
    );
}

#[test]
fn host_ports_collide() {
    let port = json!({"containers": [{"name": "main", "ports": [{"containerPort": 80, "hostPort": 8080}]}]});
    let mut core = core();
    core.set_node(node("n1", "4", json!({})), Instant::now());
    assert_eq!(place(&mut core, pod("a", port.clone())), Ok("n1".to_owned()));
    assert_eq!(
        place(&mut core, pod("b", port)),
        Err("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims \
             to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
            .to_owned())
    );
}

#[test]
fn spread_counts_a_zone_whose_only_node_is_too_small() {
    let mut core = core();
    core.set_node(node("n1", "4", zone("a")), Instant::now());
    core.set_node(node("n2", "100m", zone("b")), Instant::now());
    let mut spec = cpu("500m");
    merge(
        &mut spec,
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "w"}}}]}),
    );
    assert_eq!(
        place(&mut core, labelled("a", json!({"app": "w"}), spec.clone())),
        Ok("n1".to_owned())
    );
    assert_eq!(
        place(&mut core, labelled("b", json!({"app": "w"}), spec)),
        Err("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints. \
             no new claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found for \
             incoming pod, 1 Preemption is not helpful for scheduling."
            .to_owned())
    );
}

#[test]
fn affinity_goes_where_its_friends_are_and_the_first_goes_anywhere() {
    let mut core = core();
    core.set_node(node("n1", "4", zone("a")), Instant::now());
    core.set_node(node("n2", "4", zone("b")), Instant::now());
    let term = |kind: &str| {
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}]}}})
    };
    let first =
        place(&mut core, labelled("a", json!({"app": "x"}), term("podAffinity"))).expect("may be the first");
    assert_eq!(place(&mut core, pod("b", term("podAffinity"))), Ok(first.clone()));
    let other = place(&mut core, pod("c", term("podAntiAffinity"))).expect("the other zone");
    assert_ne!(other, first);
    let message = place(
        &mut core,
        labelled(
            "d",
            json!({"app": "x"}),
            json!({"nodeSelector": {"kubernetes.io/hostname": other}}),
        ),
    );
    assert!(
        message
            .expect_err("kept away by c")
            .contains("1 node(s) didn't satisfy existing pods anti-affinity rules")
    );
}

#[test]
fn the_emptier_node_is_taken() {
    let mut core = core();
    core.set_node(node("n1", "4", json!({})), Instant::now());
    core.set_node(node("n2", "4", json!({})), Instant::now());
    let mut heavy = cpu("3");
    merge(
        &mut heavy,
        json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}}),
    );
    assert_eq!(place(&mut core, pod("heavy", heavy)), Ok("n1".to_owned()));
    assert_eq!(place(&mut core, pod("next", cpu("500m"))), Ok("n2".to_owned()));
}

#[test]
fn replicas_of_a_controller_spread_by_default() {
    let mut core = core();
    for name in ["n1", "n2", "n3"] {
        core.set_node(node(name, "4", json!({})), Instant::now());
    }
    let selector = Selector::of_map(&[("app".to_owned(), "w".to_owned())].into());
    core.cluster
        .workloads
        .set_controller("ReplicaSet", "n", "rs", Some(selector));
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let mut replica = labelled(name, json!({"app": "w"}), json!({}));
        replica.controller = Some(crate::model::pod::Controller {
            kind: "ReplicaSet".to_owned(),
            name: "rs".to_owned(),
        });
        nodes.push(place(&mut core, replica).expect("placed"));
    }
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
}

use crate::model::Selector;

#[test]
fn a_pending_pod_is_tried_again_when_a_node_fits() {
    let mut core = core();
    let now = Instant::now();
    core.set_node(node("n1", "1", json!({})), now);
    assert!(place(&mut core, pod("a", cpu("3"))).is_err());
    core.set_node(node("n2", "2", json!({})), now + Duration::from_secs(2));
    assert_eq!(
        attempt(&mut core, now + Duration::from_secs(2)),
        Err("nobody's turn".to_owned())
    );
    core.set_node(node("n3", "4", json!({})), now + Duration::from_secs(3));
    assert_eq!(
        attempt(&mut core, now + Duration::from_secs(3)),
        Ok("n3".to_owned())
    );
}

fn preemptor(priority: i32, amount: &str) -> Pod {
    let mut spec = cpu(amount);
    merge(&mut spec, json!({"priority": priority}));
    pod("high", spec)
}

fn running(core: &mut Core, name: &str, amount: &str, priority: i32, on: &str) {
    let mut spec = cpu(amount);
    merge(&mut spec, json!({"priority": priority, "nodeName": on}));
    core.set_pod(labelled(name, json!({"app": name}), spec), Instant::now());
}

#[test]
fn the_cheapest_victims_go_and_their_room_is_kept() {
    let mut core = core();
    let now = Instant::now();
    for name in ["n1", "n2"] {
        core.set_node(node(name, "2", json!({})), now);
    }
    running(&mut core, "low-1", "1", 1, "n1");
    running(&mut core, "low-2", "1", 2, "n1");
    running(&mut core, "mid", "2", 5, "n2");
    core.set_pod(preemptor(10, "1"), now);
    let Some(Step::Reject(reject)) = core.step(now) else {
        panic!("there is no room")
    };
    assert_eq!(reject.nomination, Nomination::Node("n1".to_owned()));
    assert_eq!(
        reject
            .victims
            .iter()
            .map(|victim| &*victim.name)
            .collect::<Vec<_>>(),
        ["low-1"]
    );
    assert_eq!(reject.message, "0/2 nodes are available: 2 Insufficient cpu.");
    // Another pod of the same size must not take the room before the preemptor does.
    core.remove_pod("low-1", now);
    core.set_pod(pod("thief", cpu("1")), now);
    let second = [attempt(&mut core, now), attempt(&mut core, now)];
    assert!(second.contains(&Ok("n1".to_owned())), "{second:?}");
    assert_eq!(
        core.cluster
            .pod("high")
            .map(|placed| core.cluster.nodes.name(placed.node).to_owned()),
        Some("n1".to_owned())
    );
    assert!(core.cluster.pod("thief").is_none());
}

#[test]
fn budgets_steer_preemption_away() {
    let mut core = core();
    let now = Instant::now();
    for name in ["n1", "n2"] {
        core.set_node(node(name, "1", json!({})), now);
    }
    running(&mut core, "guarded", "1", 0, "n1");
    running(&mut core, "free", "1", 5, "n2");
    let budget = crate::preemption::DisruptionBudget {
        namespace: "n".to_owned(),
        selector: Selector::of_map(&[("app".to_owned(), "guarded".to_owned())].into()),
        disruptions_allowed: 0,
        disrupted_pods: Default::default(),
    };
    core.cluster
        .disruption_budgets
        .insert(("n".to_owned(), "b".to_owned()), budget);
    core.set_pod(preemptor(10, "1"), now);
    let Some(Step::Reject(reject)) = core.step(now) else {
        panic!("there is no room")
    };
    assert_eq!(
        reject
            .victims
            .iter()
            .map(|victim| &*victim.name)
            .collect::<Vec<_>>(),
        ["free"]
    );
}

#[test]
fn preemption_never_is_respected() {
    let mut core = core();
    core.set_node(node("n1", "1", json!({})), Instant::now());
    running(&mut core, "low", "800m", 0, "n1");
    let mut never = preemptor(1000, "800m");
    never.never_preempts = true;
    assert_eq!(
        place(&mut core, never),
        Err("0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.".to_owned())
    );
}

#[test]
fn a_pod_that_could_not_be_bound_gives_its_room_back_and_is_tried_again() {
    let mut core = core();
    let now = Instant::now();
    core.set_node(node("n1", "1", json!({})), now);
    core.set_pod(pod("a", cpu("1")), now);
    assert_eq!(attempt(&mut core, now), Ok("n1".to_owned()));
    assert!(core.bind_failed("a", now).is_some());
    assert!(core.cluster.pod("a").is_none());
    let later = now + Duration::from_secs(2);
    assert_eq!(attempt(&mut core, later), Ok("n1".to_owned()));
}

#[test]
fn pods_of_other_schedulers_and_gated_pods_are_left_alone() {
    let mut core = core();
    let now = Instant::now();
    core.set_node(node("n1", "4", json!({})), now);
    core.set_pod(pod("other", json!({"schedulerName": "mine"})), now);
    core.set_pod(pod("gated", json!({"schedulingGates": [{"name": "g"}]})), now);
    assert!(core.step(now).is_none());
    core.set_pod(pod("gated", json!({})), now);
    assert_eq!(attempt(&mut core, now), Ok("n1".to_owned()));
}

#[test]
fn daemon_pods_look_at_their_node_only() {
    let mut core = core();
    let now = Instant::now();
    for name in ["n1", "n2", "n3"] {
        core.set_node(node(name, "1", json!({})), now);
    }
    running(&mut core, "full", "1", 0, "n2");
    let mut spec = cpu("500m");
    merge(
        &mut spec,
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]}}}}),
    );
    assert_eq!(
        place(&mut core, pod("agent", spec)),
        Err("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. no new \
             claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming \
             pod, 2 Preemption is not helpful for scheduling."
            .to_owned())
    );
}

#[test]
fn a_claim_that_waits_for_its_consumer_steers_the_pod_to_its_volume() {
    use crate::model::node_affinity::NodeTerm;
    let mut core = core();
    let now = Instant::now();
    for name in ["n1", "n2"] {
        core.set_node(node(name, "1", json!({})), now);
    }
    let class = StorageClass {
        provisioner: "kubernetes.io/no-provisioner".to_owned(),
        wait_for_first_consumer: true,
        allowed_topologies: Vec::new(),
    };
    core.set_storage_class("local", Some(class), now);
    let claim = Claim {
        class: Some("local".to_owned()),
        size: 5,
        ..Claim::default()
    };
    core.set_claim(("n".to_owned(), "data".to_owned()), Some(claim), now);
    let spec = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    core.set_pod(pod("a", spec), now);
    let message = attempt(&mut core, now).expect_err("no volume yet");
    assert!(
        message.contains("2 node(s) didn't find available persistent volumes to bind"),
        "{message}"
    );
    let term = serde_json::from_value(
        json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}),
    );
    let volume = Volume {
        name: "pv".to_owned(),
        capacity: 10,
        class: "local".to_owned(),
        available: true,
        node_affinity: Some(vec![NodeTerm::of(&term.expect("a term"))]),
        ..Volume::default()
    };
    core.set_volume("pv", Some(volume), now);
    let Some(Step::Bind(bind)) = core.step(now) else {
        panic!("there is a volume now")
    };
    assert_eq!(bind.node, "n2");
    assert_eq!(
        bind.volumes.bind,
        [(("n".to_owned(), "data".to_owned()), "pv".to_owned())]
    );
    assert!(core.cluster.storage.reserved.contains_key("pv"));
}

//! Time to decide for one pod on a synthetic cluster, without any API: `cargo bench -p kube-scheduler`.
//!
//! Arguments: number of nodes (5,000) and of pods per shape (10,000).

use std::sync::Arc;
use std::time::Instant;

use component_config::kube_scheduler::KubeSchedulerConfiguration;
use kube_scheduler::framework::Profile;
use kube_scheduler::model::{Node, Pod};
use kube_scheduler::queue::Timing;
use kube_scheduler::scheduler::{Core, Step};
use serde_json::{Value, json};

fn node(index: usize) -> Node {
    let object = json!({
        "metadata": {"name": format!("node-{index}"), "labels": {
            "kubernetes.io/hostname": format!("node-{index}"),
            "topology.kubernetes.io/zone": format!("zone-{}", index % 3),
        }},
        "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
    });
    Node::of(&serde_json::from_value(object).expect("a node"))
}

fn pod(shape: &str, index: usize, more: &Value) -> Pod {
    let mut object = json!({
        "metadata": {"name": format!("{shape}-{index}"), "namespace": "bench", "uid": format!("{shape}-{index}"),
            "labels": {"app": shape, "group": format!("{}", index % 10)}},
        "spec": {"containers": [{"name": "main", "image": "i", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}]},
    });
    if let (Some(spec), Some(more)) = (object["spec"].as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    Pod::of(&serde_json::from_value(object).expect("a pod"))
}

/// Nanoseconds that this thread has run, so that other load on the machine does not count.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanoseconds| nanoseconds.parse().ok())
        .unwrap_or(0)
}

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let (nodes, pods) = (
        numbers.first().copied().unwrap_or(5000),
        numbers.get(1).copied().unwrap_or(10_000),
    );
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    let term = |app: &str, key: &str| json!({"topologyKey": key, "labelSelector": selector(app)});
    let spread = |app: &str, key: &str, when: &str| json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector(app)}]});
    let required = |kind: &str, term: Value| json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let preferred = |kind: &str, term: Value| json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "podAffinityTerm": term}]}}});
    let (host, zone) = ("kubernetes.io/hostname", "topology.kubernetes.io/zone");
    let shapes = [
        ("plain", json!({}), pods),
        (
            "anti",
            required("podAntiAffinity", term("anti", host)),
            pods.min(nodes),
        ),
        ("near", required("podAffinity", term("near", zone)), pods),
        (
            "prefer-anti",
            preferred("podAntiAffinity", term("prefer-anti", host)),
            pods,
        ),
        (
            "prefer-near",
            preferred("podAffinity", term("prefer-near", zone)),
            pods,
        ),
        ("spread-zone", spread("spread-zone", zone, "DoNotSchedule"), pods),
        ("spread-host", spread("spread-host", host, "DoNotSchedule"), pods),
        (
            "prefer-spread",
            spread("prefer-spread", zone, "ScheduleAnyway"),
            pods,
        ),
    ];
    println!("{nodes} nodes");
    for (shape, more, pods) in shapes {
        let profiles = Profile::all(&KubeSchedulerConfiguration::default()).expect("default profiles");
        let mut core = Core::new(profiles, Timing::default(), 7);
        let now = Instant::now();
        for index in 0..nodes {
            core.set_node(node(index), now);
        }
        let made: Vec<Pod> = (0..pods).map(|index| pod(shape, index, &more)).collect();
        for pod in made {
            core.set_pod(pod, now);
        }
        let (started, busy) = (Instant::now(), processor_time());
        let mut placed: Vec<(Arc<Pod>, String)> = Vec::with_capacity(pods);
        let mut rejected = 0;
        while let Some(step) = core.step(now) {
            match step {
                Step::Bind(bind) => placed.push((bind.pod, bind.node)),
                Step::Reject(_) => rejected += 1,
            }
        }
        let decided = (placed.len() + rejected) as f64;
        let wall = started.elapsed().as_secs_f64() * 1e6 / decided;
        let micros = (processor_time() - busy) as f64 / 1e3 / decided;
        println!(
            "{shape:14} {micros:8.1} us/pod ({wall:.1} by the clock) {:9.0} pods/s  {} placed, {rejected} rejected",
            1e6 / micros,
            placed.len()
        );
    }
}

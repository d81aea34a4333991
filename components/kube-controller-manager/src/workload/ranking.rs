//! Which pods of a set go first when there are too many.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use ahash::AHashMap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::pods;
use crate::owner::Meta as _;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Chooses `count` of `candidates` to delete. `related` are all active pods of the same owner's sets: of
/// two pods the one whose node has more of them goes first.
///
/// Before others go: unassigned to a node, pending, not ready, of lower deletion cost, on a more crowded
/// node, ready for a shorter time, restarted more often, younger. Times are compared by their order of
/// magnitude, so that ties are broken by uid, which is as good as random.
pub fn choose(candidates: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    if count >= candidates.len() {
        return candidates.to_vec();
    }
    let mut crowd: AHashMap<&str, usize> = AHashMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        if let Some(node) = pods::node_name(pod) {
            *crowd.entry(node).or_default() += 1;
        }
    }
    let rank = |pod: &Pod| {
        pods::node_name(pod)
            .and_then(|node| crowd.get(node))
            .copied()
            .unwrap_or(0)
    };
    let mut sorted = candidates.to_vec();
    sorted.sort_by(|a, b| compare(a, b, rank(a), rank(b), now));
    sorted.truncate(count);
    sorted
}

fn compare(a: &Pod, b: &Pod, rank_a: usize, rank_b: usize, now: Timestamp) -> Ordering {
    let assigned = |pod: &Pod| pods::node_name(pod).is_some();
    let phase = |pod: &Pod| match pods::phase(pod) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| Reverse(rank_a).cmp(&Reverse(rank_b)))
        .then_with(|| {
            let since = |pod: &Pod| {
                pods::condition(pod, "Ready")
                    .filter(|condition| condition.status == "True")
                    .and_then(|condition| condition.last_transition_time.as_ref().map(|time| time.0))
            };
            by_age(since(a), since(b), now)
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| {
            let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            by_age(created(a), created(b), now)
        })
        .then_with(|| a.uid().cmp(b.uid()))
}

/// The younger first, when their ages differ in order of magnitude.
fn by_age(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |time: Option<Timestamp>| {
        time.map_or(0, |time| {
            let seconds = now.duration_since(time).as_secs().max(1);
            1 + (seconds as u64).ilog2()
        })
    };
    match (a, b) {
        (Some(x), Some(y)) if x == y => Ordering::Equal,
        _ => magnitude(a).cmp(&magnitude(b)),
    }
}

/// An annotation that is not a number in upstream's form counts as no cost.
fn deletion_cost(pod: &Pod) -> i32 {
    let Some(text) = pod.annotation(DELETION_COST) else {
        return 0;
    };
    let well_formed = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| well_formed).unwrap_or(0)
}

/// The most restarts of any container, sidecars included.
fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.iter();
    status
        .flat_map(|status| {
            let containers = status.container_statuses.iter().flatten();
            containers.chain(status.init_container_statuses.iter().flatten())
        })
        .map(|container| container.restart_count)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str, ready: bool, cost: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": name, "uid": name, "annotations": {DELETION_COST: cost}},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let all = [
            pod("good", "n1", true, "0"),
            pod("costly", "n1", true, "100"),
            pod("cheap", "n1", true, "-10"),
            pod("malformed", "n2", true, "+5"),
            pod("unready", "n1", false, "1000"),
            pod("unassigned", "", true, "0"),
        ];
        let chosen = choose(&all, &all, 5, Timestamp::UNIX_EPOCH);
        let names: Vec<_> = chosen.iter().map(|pod| pod.name()).collect();
        assert_eq!(names, ["unassigned", "unready", "cheap", "good", "malformed"]);
    }
}

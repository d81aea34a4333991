//! When a pod has to leave its node.

use k8s_openapi::api::core::v1::{Pod, Taint};

use crate::nodes::{NO_EXECUTE, tolerates};

/// What a node's taints mean for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    Forever,
    /// Seconds since the taints were first seen.
    Seconds(u64),
}

/// Taints with another effect do not count.
pub fn stay(pod: &Pod, taints: &[Taint]) -> Stay {
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let mut shortest: Option<u64> = None;
    for taint in taints.iter().filter(|taint| taint.effect == NO_EXECUTE) {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Stay::Seconds(0);
        };
        if let Some(seconds) = toleration.toleration_seconds {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            shortest = Some(shortest.map_or(seconds, |shortest| shortest.min(seconds)));
        }
    }
    shortest.map_or(Stay::Forever, Stay::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shortest_toleration_counts() {
        let taints: Vec<Taint> = serde_json::from_value(json!([{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}, {"key": "c", "effect": "NoSchedule"}])).unwrap();
        let cases = [
            (json!([]), Stay::Seconds(0)),
            (json!([{"key": "a", "operator": "Exists"}]), Stay::Seconds(0)),
            (json!([{"operator": "Exists"}]), Stay::Forever),
            (
                json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}, {"key": "b", "operator": "Exists", "tolerationSeconds": 20}]),
                Stay::Seconds(20),
            ),
            (
                json!([{"operator": "Exists", "tolerationSeconds": -5}]),
                Stay::Seconds(0),
            ),
        ];
        for (tolerations, want) in cases {
            let pod: Pod =
                serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}}))
                    .unwrap();
            assert_eq!(stay(&pod, &taints), want, "{tolerations}");
        }
        assert_eq!(stay(&Pod::default(), &taints[2..]), Stay::Forever);
    }
}

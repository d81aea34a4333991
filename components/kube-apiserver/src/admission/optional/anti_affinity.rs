//! LimitPodHardAntiAffinityTopology: pods keep others away from their node only, not from a whole zone.
use crate::admission::Attributes;
use apimachinery::ApiError;
use serde_json::Value;

const HOSTNAME: &str = "kubernetes.io/hostname";

pub fn check(attributes: &Attributes<'_>, pod: Option<&Value>) -> Result<(), ApiError> {
    let Some(pod) = pod else { return Ok(()) };
    match wider(pod) {
        Some(key) => Err(attributes.forbidden(&format!(
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
        ))),
        None => Ok(()),
    }
}

/// The first topology of a required term that is wider than a node.
fn wider(pod: &Value) -> Option<&str> {
    let terms = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let mut keys = terms
        .as_array()
        .into_iter()
        .flatten()
        .map(|term| term["topologyKey"].as_str().unwrap_or(""));
    keys.find(|key| *key != HOSTNAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn required_terms_keep_to_a_node() {
        let pod = |strength: &str, keys: &[&str]| {
            let terms: Vec<Value> = keys.iter().map(|key| json!({"topologyKey": key})).collect();
            json!({"spec": {"affinity": {"podAntiAffinity": {(strength): terms}}}})
        };
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (pod, want) in [
            (json!({"spec": {}}), None),
            (pod(required, &[HOSTNAME]), None),
            (pod(required, &[HOSTNAME, "zone", "region"]), Some("zone")),
            (
                pod("preferredDuringSchedulingIgnoredDuringExecution", &["zone"]),
                None,
            ),
        ] {
            assert_eq!(wider(&pod), want, "{pod}");
        }
    }
}

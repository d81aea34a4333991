//! What an evicted pod is told, in upstream's words: pure.

use apimachinery::quantity::{Format, Quantity};

use super::rank::{ContainerUse, PodUse};
use super::signals::{Observation, Threshold};
use crate::pod::members::PodView;

/// Bytes in binary units, pieces as a plain number.
pub fn amount(resource: &str, value: u64) -> String {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    let bytes = Quantity::from_bytes(value);
    if matches!(resource, "memory" | "ephemeral-storage") {
        bytes.to_string()
    } else {
        bytes.with_format(Format::DecimalSi).to_string()
    }
}

/// Why `used` had to go.
pub fn low_on_resource(used: &PodUse, threshold: &Threshold, seen: Observation) -> String {
    let resource = threshold.signal.resource();
    let limit = amount(resource, threshold.amount.of(seen.capacity));
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {limit}, available: {}. ",
        amount(resource, seen.available)
    );
    let of = |container: &ContainerUse| match resource {
        "memory" => Some(container.memory),
        "ephemeral-storage" => Some(container.disk),
        _ => None,
    };
    for container in used.pod.containers() {
        let own = used.containers.iter().find(|own| own.name == container.name);
        let Some(current) = own.and_then(of) else { continue };
        let request = container
            .resources
            .as_ref()
            .and_then(|own| own.requests.as_ref()?.get(resource))
            .map_or(0, crate::pod::resources::bytes);
        let request = u64::try_from(request).unwrap_or(0);
        if current > request {
            text.push_str(&format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                amount(resource, current),
                amount(resource, request)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::signals::{Amount, Signal};
    use super::*;

    #[test]
    fn the_message_names_who_used_too_much() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "a", "resources": {"requests": {"memory": "1Mi"}}}, {"name": "b"}, {"name": "c", "resources": {"requests": {"memory": "9Mi"}}}]}});
        let own = |name: &str, memory| ContainerUse {
            name: name.to_owned(),
            memory,
            disk: 0,
        };
        let used = PodUse {
            pod: Arc::new(serde_json::from_value(pod).unwrap()),
            memory: 0,
            disk: 0,
            inodes: 0,
            processes: 0,
            containers: vec![own("a", 2 << 20), own("b", 1024), own("c", 1 << 20)],
        };
        let threshold = Threshold {
            signal: Signal::Memory,
            amount: Amount::Absolute(100 << 20),
            grace: None,
            reclaim: None,
        };
        let text = low_on_resource(
            &used,
            &threshold,
            Observation {
                available: 50 << 20,
                capacity: 1 << 30,
            },
        );
        let want = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
                    Container a was using 2Mi, request is 1Mi, has larger consumption of memory. \
                    Container b was using 1Ki, request is 0, has larger consumption of memory. ";
        assert_eq!(text, want);
    }
}

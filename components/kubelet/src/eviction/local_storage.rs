//! Pods that use more of the disk than their limits allow: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::rank::ContainerUse;
use crate::pod::members::PodView;
use crate::pod::resources::bytes;

const STORAGE: &str = "ephemeral-storage";

/// Whether somebody has set a limit, so that use has to be measured.
pub fn has_limits(pod: &Pod) -> bool {
    let volumes = pod
        .view()
        .volumes
        .iter()
        .flatten()
        .filter_map(|volume| volume.empty_dir.as_ref());
    volumes.into_iter().any(|source| source.size_limit.is_some())
        || pod
            .containers()
            .iter()
            .any(|container| limit(container).is_some())
}

fn limit(container: &k8s_openapi::api::core::v1::Container) -> Option<u64> {
    let limit = container
        .resources
        .as_ref()?
        .limits
        .as_ref()?
        .get(STORAGE)
        .map(bytes)?;
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

/// Why a pod has to go.
#[derive(Debug, PartialEq, Eq)]
pub struct Excess {
    /// The signal under which it is counted.
    pub signal: &'static str,
    pub message: String,
}

/// None when the pod keeps its limits. `volumes` are the bytes in each emptyDir, by volume; `containers` have writable
/// layers and logs.
pub fn excess(pod: &Pod, volumes: &BTreeMap<String, u64>, containers: &[ContainerUse]) -> Option<Excess> {
    let of = |signal, message| Some(Excess { signal, message });
    for volume in pod.view().volumes.iter().flatten() {
        let Some(limit) = volume
            .empty_dir
            .as_ref()
            .and_then(|source| source.size_limit.as_ref())
        else {
            continue;
        };
        let allowed = u64::try_from(bytes(limit)).unwrap_or(0);
        if allowed > 0 && volumes.get(&volume.name).is_some_and(|used| *used > allowed) {
            let (name, limit) = (&volume.name, &limit.0);
            let message = format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\". ");
            return of("emptydirfs.limit", message);
        }
    }
    let on_disk: u64 = pod
        .view()
        .volumes
        .iter()
        .flatten()
        .filter(|volume| {
            volume
                .empty_dir
                .as_ref()
                .is_some_and(|source| source.medium.as_deref().unwrap_or_default().is_empty())
        })
        .filter_map(|volume| volumes.get(&volume.name))
        .sum();
    let limits: Vec<Option<u64>> = pod.containers().iter().map(limit).collect();
    // Only when every container has a limit is there one for the pod.
    let total: Option<u64> = limits.iter().copied().sum();
    let used: u64 = containers.iter().map(|container| container.disk).sum();
    if let Some(total) = total.filter(|total| *total > 0 && used.saturating_add(on_disk) > *total) {
        let text = super::message::amount(STORAGE, total);
        let message =
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. ");
        return of("ephemeralpodfs.limit", message);
    }
    for (container, limit) in pod.containers().iter().zip(limits) {
        let used = containers
            .iter()
            .find(|own| own.name == container.name)
            .map_or(0, |own| own.disk);
        if limit.is_some_and(|limit| used > limit) {
            let text = super::message::amount(STORAGE, limit.unwrap_or(0));
            let name = &container.name;
            let message = format!("Container {name} exceeded its local ephemeral storage limit \"{text}\". ");
            return of("ephemeralcontainerfs.limit", message);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_kept_by_volume_pod_and_container() {
        let container =
            |name: &str, limit: serde_json::Value| json!({"name": name, "resources": {"limits": limit}});
        let own = |name: &str, disk| ContainerUse {
            name: name.to_owned(),
            memory: 0,
            disk,
        };
        let volume = |source| json!([{"name": "v", "emptyDir": source}]);
        let mib = 1 << 20;
        for (what, containers, volumes, used, containers_used, want) in [
            (
                "no limit",
                vec![container("a", json!({}))],
                volume(json!({})),
                9 * mib,
                vec![own("a", 9 * mib)],
                None,
            ),
            (
                "volume",
                vec![container("a", json!({}))],
                volume(json!({"sizeLimit": "1Mi"})),
                2 * mib,
                vec![],
                Some((
                    "emptydirfs.limit",
                    "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ",
                )),
            ),
            (
                "pod",
                vec![
                    container("a", json!({"ephemeral-storage": "2Mi"})),
                    container("b", json!({"ephemeral-storage": "2Mi"})),
                ],
                volume(json!({})),
                3 * mib,
                vec![own("a", mib), own("b", mib)],
                Some((
                    "ephemeralpodfs.limit",
                    "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
                )),
            ),
            (
                "memory is no disk",
                vec![container("a", json!({"ephemeral-storage": "2Mi"}))],
                volume(json!({"medium": "Memory"})),
                3 * mib,
                vec![own("a", mib)],
                None,
            ),
            (
                "container",
                vec![
                    container("a", json!({"ephemeral-storage": "1Mi"})),
                    container("b", json!({})),
                ],
                volume(json!({})),
                0,
                vec![own("a", 2 * mib)],
                Some((
                    "ephemeralcontainerfs.limit",
                    "Container a exceeded its local ephemeral storage limit \"1Mi\". ",
                )),
            ),
        ] {
            let pod: Pod = serde_json::from_value(
                json!({"metadata": {}, "spec": {"containers": containers, "volumes": volumes}}),
            )
            .unwrap();
            let volumes = BTreeMap::from([("v".to_owned(), used)]);
            assert_eq!(
                excess(&pod, &volumes, &containers_used),
                want.map(|(signal, message): (&'static str, &str)| Excess {
                    signal,
                    message: message.to_owned(),
                }),
                "{what}"
            );
        }
    }
}

use super::{Defaulting, core, pod};
use crate::features::{Feature, Features};
use crate::value::{Object, absent, is_zero, items_mut, make, zero};
use serde_json::json;

/// Counts changes of a DaemonSet's template.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Defaults of the apps group.
pub(super) fn of(kind: &str) -> Option<Defaulting> {
    Some(match kind {
        "Deployment" => |object, _| deployment(workload(object)),
        "ReplicaSet" => |object, _| absent(workload(object), "replicas", 1),
        "DaemonSet" => |object, _| {
            daemon_set(workload(object));
            absent(
                make(make(object, "metadata"), "annotations"),
                TEMPLATE_GENERATION,
                "0",
            );
        },
        "StatefulSet" => |object, row| stateful_set(workload(object), row.features),
        _ => return None,
    })
}

/// The spec, its template with the defaults of pods.
fn workload(object: &mut Object) -> &mut Object {
    let spec = make(object, "spec");
    pod::template(spec);
    spec
}

fn deployment(spec: &mut Object) {
    absent(spec, "replicas", 1);
    let strategy = make(spec, "strategy");
    zero(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = make(strategy, "rollingUpdate");
        absent(rolling, "maxUnavailable", "25%");
        absent(rolling, "maxSurge", "25%");
    }
    absent(spec, "revisionHistoryLimit", 10);
    absent(spec, "progressDeadlineSeconds", 600);
}

fn daemon_set(spec: &mut Object) {
    let strategy = make(spec, "updateStrategy");
    zero(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = make(strategy, "rollingUpdate");
        absent(rolling, "maxUnavailable", 1);
        absent(rolling, "maxSurge", 0);
    }
    absent(spec, "revisionHistoryLimit", 10);
}

fn stateful_set(spec: &mut Object, features: Features) {
    zero(spec, "podManagementPolicy", "OrderedReady");
    let strategy = make(spec, "updateStrategy");
    if is_zero(strategy.get("type")) {
        strategy.insert("type".into(), json!("RollingUpdate"));
        if is_zero(strategy.get("rollingUpdate")) {
            strategy.insert("rollingUpdate".into(), json!({"partition": 0}));
        }
    }
    if strategy["type"] == "RollingUpdate" && strategy.get("rollingUpdate").is_some() {
        let rolling = make(strategy, "rollingUpdate");
        absent(rolling, "partition", 0);
        if features.has(Feature::MaxUnavailableStatefulSet) {
            absent(rolling, "maxUnavailable", 1);
        }
    }
    let retention = make(spec, "persistentVolumeClaimRetentionPolicy");
    zero(retention, "whenDeleted", "Retain");
    zero(retention, "whenScaled", "Retain");
    absent(spec, "replicas", 1);
    absent(spec, "revisionHistoryLimit", 10);
    for claim in items_mut(spec, "volumeClaimTemplates") {
        zero(claim, "apiVersion", "v1");
        zero(claim, "kind", "PersistentVolumeClaim");
        core::persistent_volume_claim(claim);
    }
}

//! Finalizers that keep what is in use.

use serde_json::json;

use crate::cluster::Cluster;

const CLASSES: &str = "/apis/storage.k8s.io/v1/volumeattributesclasses";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";

#[tokio::test]
async fn a_class_of_volume_attributes_stays_while_a_claim_or_a_volume_has_it() {
    let cluster = Cluster::start("volumeattributesclass-protection-controller").await;
    let class = |name: &str| json!({"metadata": {"name": name}, "driverName": "disk.example.org", "parameters": {"iops": "9"}});
    for name in ["gold", "silver", "unused"] {
        cluster.create(CLASSES, &class(name)).await;
        cluster
            .until(&format!("{CLASSES}/{name}"), "is protected", |class| {
                class.is_some_and(|class| {
                    class["metadata"]["finalizers"] == json!(["kubernetes.io/vac-protection"])
                })
            })
            .await;
    }
    cluster
        .create(
            CLAIMS,
            &json!({"metadata": {"name": "c"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "gold",
                "resources": {"requests": {"storage": "1Gi"}},
            }}),
        )
        .await;
    cluster
        .create(
            VOLUMES,
            &json!({"metadata": {"name": "v"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "silver",
                "capacity": {"storage": "1Gi"},
                "csi": {"driver": "disk.example.org", "volumeHandle": "h"},
            }}),
        )
        .await;
    // All at once: when the one that nobody has is gone, the others have been looked at.
    for name in ["gold", "silver", "unused"] {
        cluster.delete(&format!("{CLASSES}/{name}")).await;
    }
    cluster.until_gone(&format!("{CLASSES}/unused")).await;
    for name in ["gold", "silver"] {
        assert!(
            cluster.get(&format!("{CLASSES}/{name}")).await.is_some(),
            "{name} is in use"
        );
    }
    cluster
        .patch(&format!("{CLAIMS}/c"), &json!({"metadata": {"finalizers": null}}))
        .await;
    cluster.delete(&format!("{CLAIMS}/c")).await;
    cluster.until_gone(&format!("{CLASSES}/gold")).await;
    assert!(
        cluster.get(&format!("{CLASSES}/silver")).await.is_some(),
        "silver is in use"
    );
    cluster
        .patch(
            &format!("{VOLUMES}/v"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    cluster.delete(&format!("{VOLUMES}/v")).await;
    cluster.until_gone(&format!("{CLASSES}/silver")).await;
}

/// Claims that were made before there was a default class stayed pending for ever.
#[tokio::test]
async fn a_claim_without_a_class_gets_the_default_one_when_there_is_one() {
    let cluster = Cluster::start("persistentvolume-binder-controller").await;
    let claim = |name: &str, class: Option<&str>| {
        json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}},
        }})
    };
    for (name, class) in [("any", None), ("none", Some(""))] {
        cluster.create(CLAIMS, &claim(name, class)).await;
        let events = format!(
            "/api/v1/namespaces/default/events?fieldSelector=reason=FailedBinding,involvedObject.name={name}"
        );
        cluster
            .until(&events, "has no class", |list| {
                list.is_some_and(|list| list["items"][0].is_object())
            })
            .await;
    }
    let class = json!({
        "metadata": {"name": "usual", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "disk.example.org",
    });
    cluster
        .create("/apis/storage.k8s.io/v1/storageclasses", &class)
        .await;
    cluster
        .until(
            &format!("{CLAIMS}/any"),
            "asks the class's provisioner",
            |claim| {
                claim.is_some_and(|claim| {
                    let asked = &claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"];
                    claim["spec"]["storageClassName"] == "usual" && asked == "disk.example.org"
                })
            },
        )
        .await;
    let none = cluster.get(&format!("{CLAIMS}/none")).await.unwrap();
    assert_eq!(none["spec"]["storageClassName"], "", "it wants none");
}

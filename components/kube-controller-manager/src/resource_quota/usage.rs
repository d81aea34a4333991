//! What of a quota is used: objects as values, counted by the rules that admission counts by.

use std::collections::BTreeMap;

use api::quota::{Counter, Devices, Surroundings, Usage, extended_owner};
use apimachinery::meta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use serde_json::Value;

/// Resources whose objects are counted by what they ask for; others only by how many there are.
pub const KINDS: [(&str, &str); 4] = [
    ("", "pods"),
    ("", "services"),
    ("", "persistentvolumeclaims"),
    DEVICE_CLAIMS,
];
pub const DEVICE_CLAIMS: (&str, &str) = ("resource.k8s.io", "resourceclaims");
/// Resources whose plain name is a quota's too.
const PLAIN: [&str; 4] = [
    "configmaps",
    "secrets",
    "replicationcontrollers",
    "resourcequotas",
];

/// The group and resource whose objects a quota's name counts, when that is all it does.
pub fn counted(name: &str) -> Option<(String, String)> {
    if PLAIN.contains(&name) {
        return Some((String::new(), name.to_owned()));
    }
    let rest = name.strip_prefix("count/")?;
    let (plural, group) = rest.split_once('.').unwrap_or((rest, ""));
    Some((group.to_owned(), plural.to_owned()))
}

/// How objects of a kind are counted now; `pod_level` is the gate PodLevelResources.
pub fn counter<'a>(
    (group, plural): (&'a str, &'a str),
    pod_level: bool,
    devices: Option<&'a dyn Devices>,
) -> Counter<'a> {
    Counter {
        group,
        plural,
        surroundings: Surroundings {
            now: Timestamp::now().as_second(),
            pod_level,
            devices,
        },
    }
}

/// Whether one of a quota's names is about a kind.
pub fn is_concerned(counter: &Counter<'_>, hard: &BTreeMap<String, Text>) -> bool {
    hard.keys().any(|name| counter.covers(name))
}

/// The sum over the objects that are within the scopes of a quota, under the names that it limits; zero where there
/// is none.
pub fn sum(
    counter: &Counter<'_>,
    quota: &Value,
    hard: &BTreeMap<String, Text>,
    objects: impl Iterator<Item = Value>,
) -> Usage {
    let names = hard.keys().filter(|name| counter.covers(name));
    let mut total: Usage = names.map(|name| (name.clone(), Default::default())).collect();
    for object in objects.filter(|object| counter.in_scope(quota, object)) {
        for (name, amount) in counter.usage(&object) {
            if let Some(entry) = total.get_mut(&name) {
                *entry += amount;
            }
        }
    }
    total
}

/// What is used by what was counted, and as before where nothing could be.
pub fn used(
    hard: &BTreeMap<String, Text>,
    before: Option<&BTreeMap<String, Text>>,
    total: &Usage,
) -> BTreeMap<String, Text> {
    hard.keys()
        .filter_map(|name| {
            let now = total.get(name).map(|amount| Text(amount.to_string()));
            Some((name.clone(), now.or_else(|| before?.get(name).cloned())?))
        })
        .collect()
}

/// Whether a quota may have to count a pod otherwise than before.
pub fn is_other_pod(old: &Pod, new: &Pod) -> bool {
    let deadline = |pod: &Pod| {
        pod.spec
            .as_ref()
            .and_then(|spec| spec.active_deadline_seconds)
            .is_some()
    };
    deadline(old) != deadline(new)
}

/// Likewise a claim: it grew, or is of another class.
pub fn is_other_claim(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim) -> bool {
    let allocated = |claim: &PersistentVolumeClaim| {
        let status = claim.status.as_ref();
        status.and_then(|status| status.allocated_resources.clone())
    };
    let classes = |claim: &PersistentVolumeClaim| {
        let (spec, status) = (claim.spec.as_ref(), claim.status.as_ref());
        let target = status.and_then(|status| status.modify_volume_status.as_ref());
        (
            spec.and_then(|spec| spec.volume_attributes_class_name.clone()),
            status.and_then(|status| status.current_volume_attributes_class_name.clone()),
            target.and_then(|modify| modify.target_volume_attributes_class_name.clone()),
        )
    };
    allocated(old) != allocated(new) || classes(old) != classes(new)
}

/// What is known of device classes, and of pods and their claims in one namespace.
#[derive(Default)]
pub struct Known {
    pub classes: Vec<Value>,
    pub pods: Vec<Value>,
    pub claims: Vec<Value>,
}

impl Devices for Known {
    fn extended_resource(&self, class: &str) -> Option<String> {
        let class = self.classes.iter().find(|one| meta::name(one) == class)?;
        class["spec"]["extendedResourceName"].as_str().map(str::to_owned)
    }

    fn has_class_for(&self, resource: &str) -> bool {
        let implicit = resource.strip_prefix("deviceclass.resource.kubernetes.io/");
        self.classes.iter().any(|class| {
            implicit == Some(meta::name(class)) || class["spec"]["extendedResourceName"] == resource
        })
    }

    fn pod(&self, _: &str, name: &str) -> Option<Value> {
        self.pods.iter().find(|pod| meta::name(pod) == name).cloned()
    }

    fn claims_of(&self, _: &str, pod: &str) -> Vec<(String, String)> {
        let of_pod = self
            .claims
            .iter()
            .filter(|claim| extended_owner(claim) == Some(pod));
        of_pod
            .map(|claim| {
                (
                    meta::creation_timestamp(claim).to_owned(),
                    meta::name(claim).to_owned(),
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_lead_to_resources() {
        for (name, want) in [
            ("count/deployments.apps", Some(("apps", "deployments"))),
            ("count/secrets", Some(("", "secrets"))),
            ("configmaps", Some(("", "configmaps"))),
            ("requests.cpu", None),
        ] {
            assert_eq!(
                counted(name),
                want.map(|(group, plural)| (group.to_owned(), plural.to_owned()))
            );
        }
    }

    fn hard(names: &[&str]) -> BTreeMap<String, Text> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Text("9".to_owned())))
            .collect()
    }

    #[test]
    fn gates_say_what_counts() {
        let pod = json!({"spec": {
            "resources": {"requests": {"cpu": "3"}},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
        }});
        let claim = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        ]}}});
        let known = Known {
            classes: vec![
                json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}),
            ],
            ..Known::default()
        };
        let hard = hard(&["requests.cpu", "requests.example.com/gpu"]);
        for (pod_level, extended, cpu, gpus) in [
            (true, true, "3", Some("2")),
            (false, true, "1", Some("2")),
            (true, false, "3", None),
            (false, false, "1", None),
        ] {
            let devices = extended.then_some(&known as &dyn Devices);
            let of = |kind, object: &Value, name: &str| {
                let counter = counter(kind, pod_level, devices);
                let total = sum(&counter, &json!({}), &hard, [object.clone()].into_iter());
                total.get(name).map(ToString::to_string)
            };
            let found = of(("", "pods"), &pod, "requests.cpu");
            assert_eq!(found.as_deref(), Some(cpu), "{pod_level} {extended}");
            let found = of(DEVICE_CLAIMS, &claim, "requests.example.com/gpu");
            assert_eq!(found.as_deref(), gpus, "{pod_level} {extended}");
        }
    }

    #[test]
    fn objects_are_summed_within_scopes() {
        let pod = |cpu: &str, class: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}, "status": {"qosClass": class}});
        let pods = [
            pod("1", "Burstable"),
            pod("500m", "Burstable"),
            pod("1", "BestEffort"),
        ];
        let hard = hard(&["pods", "requests.cpu", "limits.memory", "services"]);
        let counter = counter(("", "pods"), true, None);
        for (spec, expected) in [
            (
                json!({}),
                json!({"pods": "3", "requests.cpu": "2500m", "limits.memory": "0"}),
            ),
            (
                json!({"scopes": ["NotBestEffort"]}),
                json!({"pods": "2", "requests.cpu": "1500m", "limits.memory": "0"}),
            ),
        ] {
            let total = sum(&counter, &json!({ "spec": spec }), &hard, pods.iter().cloned());
            let total: BTreeMap<_, _> = total
                .iter()
                .map(|(name, amount)| (name, amount.to_string()))
                .collect();
            assert_eq!(json!(total), expected, "{spec}");
        }
    }

    #[test]
    fn what_cannot_be_counted_stays_as_it_was() {
        let before = BTreeMap::from([("count/a.b".to_owned(), Text("4".to_owned()))]);
        let total = Usage::from([("pods".to_owned(), Default::default())]);
        let found = used(&hard(&["pods", "count/a.b", "count/c.d"]), Some(&before), &total);
        let found: Vec<_> = found.into_iter().map(|(name, text)| (name, text.0)).collect();
        assert_eq!(
            found,
            [
                ("count/a.b".to_owned(), "4".to_owned()),
                ("pods".to_owned(), "0".to_owned())
            ]
        );
    }

    #[test]
    fn changes_that_count() {
        let claim = |status: Value| -> PersistentVolumeClaim {
            serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
        };
        for (status, expected) in [
            (json!({"phase": "Bound"}), false),
            (json!({"allocatedResources": {"storage": "1Gi"}}), true),
            (json!({"currentVolumeAttributesClassName": "gold"}), true),
        ] {
            assert_eq!(
                is_other_claim(&claim(json!({})), &claim(status.clone())),
                expected,
                "{status}"
            );
        }
        let pod =
            |spec: Value| -> Pod { serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap() };
        let plain = json!({"containers": []});
        let mut deadline = plain.clone();
        deadline["activeDeadlineSeconds"] = json!(5);
        assert!(is_other_pod(&pod(plain.clone()), &pod(deadline)));
        assert!(!is_other_pod(&pod(plain.clone()), &pod(plain)));
    }
}

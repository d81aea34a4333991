//! What the server itself follows, whether clients read it from memory or not: upstream has informers for these.

use api::Resource;

/// Whose caches are loaded in any case, by group. Whoever asks for what is cached of another resource, by `cached` and the
/// like, gets no answer where its cache is off.
const FOLLOWED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("discovery.k8s.io", &["endpointslices"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["flowschemas", "prioritylevelconfigurations"],
    ),
    (
        "networking.k8s.io",
        &["ingressclasses", "ipaddresses", "servicecidrs"],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    (
        "rbac.authorization.k8s.io",
        &["clusterrolebindings", "clusterroles", "rolebindings", "roles"],
    ),
    (
        "resource.k8s.io",
        &["deviceclasses", "resourceclaims", "resourceslices"],
    ),
    ("scheduling.k8s.io", &["priorityclasses"]),
    (
        "storage.k8s.io",
        &["csidrivers", "storageclasses", "volumeattachments"],
    ),
];

pub(super) fn is_followed(row: &Resource) -> bool {
    let group = &*row.storage_version.group;
    let mut all = FOLLOWED.iter().filter(|(followed, _)| *followed == group);
    row.custom.is_none() && all.any(|(_, plurals)| plurals.contains(&&*row.plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_exist() {
        let registry = api::Registry::built_in();
        for (group, plurals) in FOLLOWED {
            for plural in *plurals {
                let resource = apimachinery::GroupResource::new(*group, *plural);
                let row = registry.versions(&resource).next();
                let row = row.unwrap_or_else(|| panic!("{resource} don't exist"));
                assert!(is_followed(row), "{resource}");
            }
        }
        let secrets = registry.resource("", "v1", "secrets").unwrap();
        assert!(!is_followed(secrets));
    }
}

//! Where upstream stores each kind.
use apimachinery::{GroupVersion, GroupVersionKind};

/// The key prefix below `/registry/`. History made it the plural name, with a few exceptions; groups that came by aggregation carry their name.
pub(super) fn prefix(group: &str, plural: &str) -> String {
    match (group, plural) {
        ("", "nodes") => "minions".into(),
        ("", "services") => "services/specs".into(),
        ("", "endpoints") => "services/endpoints".into(),
        ("", "replicationcontrollers") => "controllers".into(),
        ("networking.k8s.io", "ingresses") => "ingress".into(),
        ("apiregistration.k8s.io" | "apiextensions.k8s.io", _) => format!("{group}/{plural}"),
        _ => plural.into(),
    }
}

/// The version that a kind is stored in.
pub(super) fn version(gvk: &GroupVersionKind) -> GroupVersion {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("autoscaling", "HorizontalPodAutoscaler") => GroupVersion::new("autoscaling", "v2"),
        ("events.k8s.io", "Event") => GroupVersion::new("", "v1"),
        _ => gvk.group_version(),
    }
}

/// Full name of a kind's schema.
pub fn schema_name(gvk: &GroupVersionKind) -> String {
    match gvk.group.as_str() {
        "apiextensions.k8s.io" => format!(
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{}.{}",
            gvk.version, gvk.kind
        ),
        "apiregistration.k8s.io" => format!(
            "io.k8s.kube-aggregator.pkg.apis.apiregistration.{}.{}",
            gvk.version, gvk.kind
        ),
        group => {
            let package = match group.split('.').next() {
                Some("") | None => "core",
                Some(first) => first,
            };
            format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Registry;

    #[test]
    fn all_kinds_are_registered_with_a_schema() {
        let registry = Registry::built_in();
        assert_eq!(registry.iter().count(), 68);
        assert_eq!(registry.stored().count(), 58);
        let keys: Vec<_> = registry.stored().map(|row| row.storage_prefix.as_str()).collect();
        for key in [
            "minions",
            "services/specs",
            "apiregistration.k8s.io/apiservices",
            "ingress",
            "leases",
        ] {
            assert!(keys.contains(&key), "{key}");
        }
        let pods = registry.resource("", "v1", "pods").unwrap();
        assert!(pods.namespaced && pods.subresource("exec").is_some() && pods.columns.len() == 9);
    }
}

//! Discovery documents from the registry.
use crate::features::Feature;
use crate::{Registry, Resource};
use apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Value, json};

/// `/apis`.
pub fn group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    let (name, versions) = registry
        .groups()
        .into_iter()
        .find(|(group, _)| group == name && !group.is_empty())?;
    let mut value = group_value(&name, &versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

fn group_value(name: &str, versions: &[GroupVersion]) -> Value {
    let version =
        |version: &GroupVersion| json!({"groupVersion": version.to_string(), "version": version.version});
    json!({"name": name, "versions": versions.iter().map(version).collect::<Vec<_>>(), "preferredVersion": versions.first().map(version)})
}

fn shown_verbs(row: &Resource) -> Vec<&str> {
    let verbs = row.verbs.iter().map(String::as_str);
    match &row.custom {
        Some(definition) => verbs.filter(|verb| definition.shows(verb)).collect(),
        None => verbs.collect(),
    }
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resource_list(registry: &Registry, version: &GroupVersion) -> Option<Value> {
    let rows: Vec<_> = registry
        .iter()
        .filter(|row| row.gvk.group_version() == *version)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut resources = Vec::new();
    for row in rows {
        let mut value = json!({"name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.gvk.kind, "verbs": shown_verbs(row)});
        if !row.short_names.is_empty() {
            value["shortNames"] = json!(row.short_names);
        }
        if !row.categories.is_empty() {
            value["categories"] = json!(row.categories);
        }
        if row.is_stored() && row.features.has(Feature::StorageVersionHash) {
            value["storageVersionHash"] = json!(storage_version_hash(row));
        }
        resources.push(value);
        for subresource in &row.subresources {
            let mut value = json!({"name": format!("{}/{}", row.plural, subresource.name), "singularName": "", "namespaced": row.namespaced, "kind": subresource.gvk.kind, "verbs": subresource.verbs});
            if subresource.gvk.group_version() != *version {
                value["group"] = json!(subresource.gvk.group);
                value["version"] = json!(subresource.gvk.version);
            }
            resources.push(value);
        }
    }
    let mut document =
        json!({"kind": "APIResourceList", "groupVersion": version.to_string(), "resources": resources});
    if !version.group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    Some(document)
}

/// The first bytes of the hash of group/version/kind of the stored form, base64. Clients compare what several API
/// servers say, so it is upstream's hash.
fn storage_version_hash(row: &Resource) -> String {
    use base64::Engine;
    use sha2::Digest;
    let stored = row.written_version();
    let text = format!("{}/{}/{}", stored.group, stored.version, row.gvk.kind);
    base64::engine::general_purpose::STANDARD.encode(&sha2::Sha256::digest(text)[..8])
}

/// The aggregated document of `/api` (`core`) or `/apis`.
pub fn aggregated(registry: &Registry, core: bool) -> Value {
    let mut items = Vec::new();
    for (group, versions) in registry
        .groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
    {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| aggregated_version(registry, version))
            .collect();
        let metadata = if group.is_empty() {
            json!({})
        } else {
            json!({"name": group})
        };
        items.push(json!({"metadata": metadata, "versions": versions}));
    }
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn response_kind(own: &GroupVersion, gvk: &GroupVersionKind) -> Value {
    // A kind of the document's own group and version is told by its name alone.
    if gvk.group_version() == *own {
        json!({"group": "", "version": "", "kind": gvk.kind})
    } else {
        json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
    }
}

fn aggregated_version(registry: &Registry, version: &GroupVersion) -> Value {
    let resources: Vec<Value> = registry
        .iter()
        .filter(|row| row.gvk.group_version() == *version)
        .map(|row| {
            let mut value = json!({
                "resource": row.plural, "responseKind": response_kind(version, &row.gvk), "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": row.singular, "verbs": shown_verbs(row),
            });
            if !row.short_names.is_empty() {
                value["shortNames"] = json!(row.short_names);
            }
            if !row.categories.is_empty() {
                value["categories"] = json!(row.categories);
            }
            if !row.subresources.is_empty() {
                let subresource = |sub: &crate::Subresource| json!({"subresource": sub.name, "responseKind": response_kind(version, &sub.gvk), "verbs": sub.verbs});
                value["subresources"] = row.subresources.iter().map(subresource).collect();
            }
            value
        })
        .collect();
    json!({"version": version.version, "resources": resources, "freshness": "Current"})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from upstream: storage migrators compare the hashes of several API servers.
    #[test]
    fn hashes_of_stored_forms_are_upstreams() {
        for (version, resource, expected) in [
            (GroupVersion::new("apps", "v1"), "deployments", "8aSe+NMegvE="),
            (GroupVersion::new("", "v1"), "pods", "xPOwRZ+Yhw8="),
            (
                GroupVersion::new("apiextensions.k8s.io", "v1"),
                "customresourcedefinitions",
                "jfWCUB31mvA=",
            ),
            (
                GroupVersion::new("admissionregistration.k8s.io", "v1"),
                "mutatingadmissionpolicies",
                "LYmCf+UMVdg=",
            ),
            (
                GroupVersion::new("admissionregistration.k8s.io", "v1"),
                "mutatingadmissionpolicybindings",
                "90V5FRZZ3Zg=",
            ),
        ] {
            let document = resource_list(&Registry::built_in(), &version).unwrap();
            let resources = document["resources"].as_array().unwrap();
            let found = resources.iter().find(|row| row["name"] == resource).unwrap();
            assert_eq!(found["storageVersionHash"], expected, "{resource}");
        }
    }
}

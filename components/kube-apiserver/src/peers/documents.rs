//! What one other API server serves, from its documents of discovery.

use apimachinery::{GroupVersion, GroupVersionResource};
use serde_json::Value;
use std::collections::HashSet;

/// Groups of one server.
#[derive(Debug, Default)]
pub struct Served {
    /// APIGroupDiscovery of `/api`.
    pub core: Vec<Value>,
    /// APIGroupDiscovery of `/apis`.
    pub named: Vec<Value>,
    resources: HashSet<GroupVersionResource>,
}

impl Served {
    /// From the documents of `/api` and `/apis`. `None` if one of them is something else, as of a server that has only the
    /// old form.
    pub fn read(core: Value, named: Value) -> Option<Self> {
        let groups = |mut document: Value| match document["items"].take() {
            _ if document["kind"] != "APIGroupDiscoveryList" => None,
            Value::Array(items) => Some(items),
            _ => Some(Vec::new()),
        };
        Some(Self::of(groups(core)?, groups(named)?))
    }

    fn of(core: Vec<Value>, named: Vec<Value>) -> Self {
        let resources = core.iter().chain(&named).flat_map(resources).collect();
        Self {
            core,
            named,
            resources,
        }
    }

    pub fn has(&self, resource: &GroupVersionResource) -> bool {
        self.resources.contains(resource)
    }

    /// The same without some groups and versions; `None` if it has none of them.
    pub fn without(&self, is_out: impl Fn(&GroupVersion) -> bool) -> Option<Self> {
        let is_out = |group: &Value, version: &Value| {
            is_out(&GroupVersion::new(name(group), text(&version["version"])))
        };
        let has_some = |group: &Value| versions(group).iter().any(|version| is_out(group, version));
        if !self.named.iter().any(has_some) {
            return None;
        }
        let mut named = self.named.clone();
        for group in &mut named {
            let mut kept = versions(group).to_vec();
            kept.retain(|version| !is_out(group, version));
            group["versions"] = Value::Array(kept);
        }
        named.retain(|group| !versions(group).is_empty());
        Some(Self::of(self.core.clone(), named))
    }
}

/// The name of an APIGroupDiscovery; the core group has none.
pub fn name(group: &Value) -> &str {
    text(&group["metadata"]["name"])
}

pub fn versions(group: &Value) -> &[Value] {
    group["versions"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn resources(group: &Value) -> impl Iterator<Item = GroupVersionResource> {
    versions(group).iter().flat_map(move |version| {
        let resources = version["resources"].as_array().into_iter().flatten();
        resources.map(move |resource| {
            GroupVersionResource::new(
                name(group),
                text(&version["version"]),
                text(&resource["resource"]),
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(items: Value) -> Value {
        json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items })
    }

    #[test]
    fn resources_are_read_and_left_out_by_their_version() {
        let core = list(
            json!([{ "metadata": {}, "versions": [{ "version": "v1", "resources": [{ "resource": "pods" }] }] }]),
        );
        let named = list(json!([
            { "metadata": { "name": "batch" }, "versions": [
                { "version": "v1", "resources": [{ "resource": "jobs" }] },
                { "version": "v2", "resources": [{ "resource": "jobs" }] },
            ] },
            { "metadata": { "name": "example.com" }, "versions": [{ "version": "v1", "resources": [{ "resource": "things" }] }] },
        ]));
        let served = Served::read(core, named).unwrap();
        let has = |served: &Served, group: &str, version: &str, resource: &str| {
            served.has(&GroupVersionResource::new(group, version, resource))
        };
        assert!(has(&served, "", "v1", "pods"));
        assert!(has(&served, "batch", "v2", "jobs"));
        assert!(served.without(|version| version.group == "apps").is_none());
        let fewer = served
            .without(|version| version.group == "example.com" || version.version == "v2")
            .unwrap();
        assert!(has(&fewer, "batch", "v1", "jobs"));
        assert!(!has(&fewer, "batch", "v2", "jobs"));
        assert_eq!(fewer.named.len(), 1, "a group without versions is no group");
    }

    #[test]
    fn the_old_form_is_not_taken() {
        let old = json!({ "kind": "APIVersions", "versions": ["v1"] });
        assert!(Served::read(old, list(json!([]))).is_none());
    }
}

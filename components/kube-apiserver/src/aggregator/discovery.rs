//! Discovery of all servers as one: documents of this server and of others, in the order of their priorities.

use super::documents::{Documents, Known};
use super::order::{Served, order};
use super::registration::default_priorities;
use super::routes::Routes;
use api::Registry;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Groups, each with its versions, first things first.
pub type Order = Vec<(String, Vec<String>)>;

/// The merged documents of one state of things.
pub struct Discovery {
    /// Of all APIServices, whether anything is behind them or not: the lists of groups tell what is registered.
    pub listed: Order,
    /// Of what is served.
    pub order: Order,
    /// The aggregated document of `/apis`.
    pub aggregated: Value,
}

/// The newest merged documents, made when first asked for.
#[derive(Default)]
pub struct Merged {
    known: Mutex<Option<(Arc<Registry>, Arc<Routes>, u64, Arc<Discovery>)>>,
    made: Counter,
}

impl Merged {
    pub fn register(&self, metrics: &mut prometheus_client::registry::Registry) {
        metrics.register(
            "aggregator_discovery_aggregation_count",
            "How often the document of all groups was made",
            self.made.clone(),
        );
    }

    pub fn get(
        &self,
        registry: &Arc<Registry>,
        routes: &Arc<Routes>,
        documents: &Documents,
    ) -> Arc<Discovery> {
        let generation = documents.generation();
        let mut known = self.known.lock();
        if let Some((of, by, at, discovery)) = &*known
            && Arc::ptr_eq(of, registry)
            && Arc::ptr_eq(by, routes)
            && *at == generation
        {
            return Arc::clone(discovery);
        }
        self.made.inc();
        let all = registered(registry, routes);
        let listed = order(all.clone());
        let order = order(served(all, registry, routes));
        let local = api::discovery::aggregated(registry, false);
        let aggregated = merge(local, &order, |group, version| {
            routes.remote(group, version)?;
            let known = documents.get(group, version).unwrap_or_default();
            Some(entry(version, &known))
        });
        let discovery = Arc::new(Discovery {
            listed,
            order,
            aggregated,
        });
        *known = Some((
            Arc::clone(registry),
            Arc::clone(routes),
            generation,
            Arc::clone(&discovery),
        ));
        discovery
    }
}

/// All groups but the core one. What has no APIService yet has its usual priority.
fn registered(registry: &Registry, routes: &Routes) -> Vec<Served> {
    let mut served: Vec<Served> = routes
        .served
        .iter()
        .filter(|served| !served.group.is_empty())
        .cloned()
        .collect();
    for row in registry.iter() {
        let (group, version) = (&row.gvk.group, &row.gvk.version);
        let known = served
            .iter()
            .any(|served| served.group == *group && served.version == *version);
        if !group.is_empty() && !known {
            served.push(default_priorities(group, version, row.custom.is_some()));
        }
    }
    served
}

/// An APIService for this server without anything behind it serves nothing.
fn served(mut all: Vec<Served>, registry: &Registry, routes: &Routes) -> Vec<Served> {
    all.retain(|served| {
        routes.remote(&served.group, &served.version).is_some()
            || registry
                .iter()
                .any(|row| row.gvk.group == served.group && row.gvk.version == served.version)
    });
    all
}

/// An APIVersionDiscovery of another server.
fn entry(version: &str, known: &Known) -> Value {
    let mut entry = match &known.discovery {
        Some(discovery) => (**discovery).clone(),
        None => json!({ "version": version }),
    };
    let current = known.discovery.is_some() && !known.stale;
    entry["freshness"] = json!(if current { "Current" } else { "Stale" });
    entry
}

/// Puts the versions of other servers among this server's.
fn merge(mut local: Value, order: &Order, remote: impl Fn(&str, &str) -> Option<Value>) -> Value {
    let own = match local["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let of_own = |group: &str, version: &str| {
        let item = own.iter().find(|item| item["metadata"]["name"] == group)?;
        let versions = item["versions"].as_array()?;
        versions.iter().find(|entry| entry["version"] == version).cloned()
    };
    let items: Vec<Value> = order
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .filter_map(|version| remote(group, version).or_else(|| of_own(group, version)))
                .collect();
            json!({ "metadata": { "name": group }, "versions": versions })
        })
        .collect();
    local["items"] = Value::Array(items);
    local
}

/// `/apis`
pub fn group_list(order: &Order) -> Value {
    let groups: Vec<Value> = order
        .iter()
        .map(|(group, versions)| Value::Object(group_fields(group, versions)))
        .collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`
pub fn group(order: &Order, name: &str) -> Option<Value> {
    let (group, versions) = order.iter().find(|(group, _)| group == name)?;
    let mut value = json!({ "kind": "APIGroup", "apiVersion": "v1" });
    if let Value::Object(object) = &mut value {
        object.extend(group_fields(group, versions));
    }
    Some(value)
}

fn group_fields(group: &str, versions: &[String]) -> Map<String, Value> {
    let version =
        |version: &String| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(group));
    fields.insert("versions".to_owned(), versions.iter().map(version).collect());
    fields.insert(
        "preferredVersion".to_owned(),
        versions.first().map_or(Value::Null, version),
    );
    fields
}

/// An APIVersionDiscovery from an APIResourceList, which every server has.
pub fn from_resource_list(group: &str, version: &str, list: &Value) -> Value {
    let mut resources: Vec<Value> = Vec::new();
    let items = list["resources"].as_array().map_or(&[][..], Vec::as_slice);
    let kind_of = |item: &Value| {
        let or = |field: &str, own: &str| match item[field].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => own.to_owned(),
        };
        json!({ "group": or("group", group), "version": or("version", version), "kind": item["kind"] })
    };
    for item in items.iter().filter(|item| !name(item).contains('/')) {
        let mut resource = json!({
            "resource": name(item),
            "responseKind": kind_of(item),
            "scope": if item["namespaced"] == true { "Namespaced" } else { "Cluster" },
            "singularResource": item["singularName"].as_str().unwrap_or(""),
            "verbs": item["verbs"],
        });
        for field in ["shortNames", "categories"] {
            if item[field].is_array() {
                resource[field] = item[field].clone();
            }
        }
        let subresources: Vec<Value> = items
            .iter()
            .filter_map(|sub| {
                let subresource = name(sub).strip_prefix(name(item))?.strip_prefix('/')?;
                Some(json!({ "subresource": subresource, "responseKind": kind_of(sub), "verbs": sub["verbs"] }))
            })
            .collect();
        if !subresources.is_empty() {
            resource["subresources"] = Value::Array(subresources);
        }
        resources.push(resource);
    }
    json!({ "version": version, "resources": resources })
}

fn name(item: &Value) -> &str {
    item["name"].as_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_other_servers_it_is_the_registrys_own_discovery() {
        let registry = Arc::new(Registry::built_in());
        let services = crate::bootstrap::objects::embedded()
            .unwrap()
            .into_iter()
            .filter(|object| object["kind"] == "APIService")
            .map(|object| serde_json::from_value(object).unwrap())
            .collect();
        let routes = Routes::build(services, &Routes::default(), |_| Err(String::new()));
        let found = Merged::default().get(&registry, &Arc::new(routes), &Documents::default());
        assert_eq!(found.listed, found.order);
        let names = |document: &Value, path: &str| -> Vec<String> {
            let list = document[path].as_array().unwrap().iter();
            list.map(|item| {
                item["name"]
                    .as_str()
                    .or(item["metadata"]["name"].as_str())
                    .unwrap()
                    .to_owned()
            })
            .collect()
        };
        let own = api::discovery::aggregated(&registry, false);
        let mut expected = names(&own, "items");
        let mut merged = names(&found.aggregated, "items");
        assert_eq!(names(&group_list(&found.order), "groups"), merged);
        assert_eq!(merged[0], "apiregistration.k8s.io");
        assert_eq!(merged[1], "apps");
        expected.sort();
        merged.sort();
        assert_eq!(merged, expected);
    }

    #[test]
    fn groups_that_are_only_registered_are_listed_and_not_served() {
        let service = json!({"metadata": {"name": "v1.none.example.com"}, "spec": {
            "group": "none.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}});
        let services = vec![serde_json::from_value(service).unwrap()];
        let routes = Routes::build(services, &Routes::default(), |_| Err(String::new()));
        let registry = Arc::new(Registry::built_in());
        let found = Merged::default().get(&registry, &Arc::new(routes), &Documents::default());
        assert!(group(&found.listed, "none.example.com").is_some());
        assert!(group(&found.order, "none.example.com").is_none());
        assert!(!found.aggregated.to_string().contains("none.example.com"));
    }

    #[test]
    fn versions_of_other_servers_come_in_by_priority() {
        let local = json!({"items": [{"metadata": {"name": "a"}, "versions": [{"version": "v1", "resources": ["own"]}]}]});
        let order = vec![
            ("b".to_owned(), vec!["v1".to_owned()]),
            ("a".to_owned(), vec!["v2".to_owned(), "v1".to_owned()]),
        ];
        let merged = merge(local, &order, |group, version| {
            let theirs = (group, version) != ("a", "v1");
            theirs.then(|| entry(version, &Known::default()))
        });
        assert_eq!(
            merged["items"],
            json!([
                {"metadata": {"name": "b"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
                {"metadata": {"name": "a"}, "versions": [{"version": "v2", "freshness": "Stale"}, {"version": "v1", "resources": ["own"]}]},
            ])
        );
        assert_eq!(
            group(&order, "a").unwrap()["preferredVersion"]["groupVersion"],
            "a/v2"
        );
        assert_eq!(group(&order, "c"), None);
    }

    #[test]
    fn a_resource_list_becomes_a_discovery_entry() {
        let list = json!({"resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"], "shortNames": ["fl"]},
            {"name": "flunders/status", "kind": "Flunder", "verbs": ["update"], "namespaced": true},
            {"name": "fischers", "namespaced": false, "kind": "Fischer", "group": "other", "verbs": ["list"]},
        ]});
        let found = from_resource_list("wardle.example.com", "v1alpha1", &list);
        let kind = |kind: &str, group: &str| json!({"group": group, "version": "v1alpha1", "kind": kind});
        assert_eq!(
            found["resources"][0]["responseKind"],
            kind("Flunder", "wardle.example.com")
        );
        assert_eq!(found["resources"][0]["subresources"][0]["subresource"], "status");
        assert_eq!(found["resources"][0]["shortNames"], json!(["fl"]));
        assert_eq!(found["resources"][1]["responseKind"], kind("Fischer", "other"));
        assert_eq!(found["resources"][1]["scope"], "Cluster");
        assert_eq!(found["resources"].as_array().unwrap().len(), 2);
    }
}

//! OpenAPI documents from the schemas, the registry and the texts. They are made when asked for and not kept
//! here: the texts are large, and clients ask rarely.
mod connections;
mod custom;
mod items;
mod operations;
mod options;
mod phrases;
mod roots;
mod schemas;
mod version2;
mod watches;

pub use version2::document as v2_document;

use crate::{Registry, Resource};
use apimachinery::GroupVersion;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version that documents carry.
const API_VERSION: &str = "1.36";

/// Names of the version 3 documents (`api/v1`, `apis/apps`, `apis/apps/v1`, `version`), in order.
pub fn v3_names(registry: &Registry) -> Vec<String> {
    let mut names: Vec<String> = registry
        .groups()
        .into_iter()
        .flat_map(|(_, versions)| versions)
        .map(|version| name(&version))
        .chain(roots::names(registry))
        .collect();
    names.sort();
    names
}

fn name(version: &GroupVersion) -> String {
    if version.group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{version}")
    }
}

/// The rows of the version 3 document of that name.
pub fn v3_rows<'a>(registry: &'a Registry, wanted: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
    registry
        .iter()
        .filter(move |row| name(&row.gvk.group_version()) == wanted)
}

/// The paths of the version 3 document of that name; `None` if there is none.
fn paths(registry: &Registry, wanted: &str, rows: &[&Arc<Resource>]) -> Option<Value> {
    let Some(first) = rows.first() else {
        return roots::paths(registry, wanted);
    };
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    // Documents of custom resources are about them only.
    if rows.iter().any(|row| row.custom.is_none()) {
        paths.insert(
            format!("/{wanted}/"),
            roots::resources(&first.gvk.group_version()),
        );
    }
    for row in rows {
        operations::paths(row, &format!("/{wanted}"), &mut paths);
    }
    Some(Value::Object(paths.into_iter().collect::<Map<_, _>>()))
}

/// The version 3 document of that name; `None` if there is none.
pub fn v3_document(registry: &Registry, wanted: &str) -> Option<Value> {
    let rows: Vec<&Arc<Resource>> = v3_rows(registry, wanted).collect();
    let paths = paths(registry, wanted, &rows)?;
    let mut components = schemas::reachable(&paths, &rows);
    schemas::describe(&mut components);
    if let Some(first) = rows.first().filter(|row| row.custom.is_none()) {
        schemas::shared_kinds(&mut components, &first.gvk.group_version());
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": API_VERSION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"}},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_closed() {
        let registry = Registry::built_in();
        let names = v3_names(&registry);
        assert!(names.contains(&"api/v1".to_owned()) && names.contains(&"apis/apps/v1".to_owned()));
        for name in names {
            let document = v3_document(&registry, &name).unwrap();
            let text = document.to_string();
            for part in text.split("\"#/components/schemas/").skip(1) {
                let target = part.split('"').next().unwrap();
                assert!(
                    document["components"]["schemas"].get(target).is_some(),
                    "{name}: {target}"
                );
            }
        }
        assert_eq!(v3_document(&registry, "apis/none/v1"), None);
    }

    #[test]
    fn paths_and_methods_are_upstreams() {
        let registry = Registry::built_in();
        let names = v3_names(&registry);
        let expected: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            crate::schema::embedded(include_bytes!("gen/openapi-paths.json.gz"));
        assert_eq!(names, expected.keys().cloned().collect::<Vec<_>>());
        for (name, paths) in expected {
            let document = v3_document(&registry, &name).unwrap();
            let found: BTreeMap<String, Vec<String>> = document["paths"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(path, item)| {
                    let mut methods: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
                    methods.retain(|method| method != "parameters");
                    methods.sort();
                    (path.clone(), methods)
                })
                .collect();
            assert_eq!(found, paths, "{name}");
        }
    }

    #[test]
    fn operations_tell_their_kind() {
        let document = v3_document(&Registry::built_in(), "apis/apps/v1").unwrap();
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "apps", "version": "v1", "kind": "Deployment"})
        );
        assert!(
            patch["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .any(|parameter| parameter["name"] == "fieldValidation")
        );
        assert_eq!(patch["description"], "partially update the specified Deployment");
        let described = |name: &str| {
            let mut parameters = patch["parameters"].as_array().unwrap().iter();
            let parameter = parameters.find(|parameter| parameter["name"] == name);
            parameter.unwrap()["description"].as_str().unwrap()
        };
        // Where a list begins, the line goes on; addresses stand without brackets.
        assert!(
            described("dryRun").ends_with("Valid values are: - All: all dry run stages will be processed")
        );
        assert!(described("fieldManager").contains("required for apply requests"));
        let list = &document["paths"]["/apis/apps/v1/deployments"]["parameters"];
        assert!(list.to_string().contains("See https://kubernetes.io/"));
        let spec = &document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"];
        assert!(
            spec["properties"]["replicas"]["description"]
                .as_str()
                .unwrap()
                .contains("desired pods")
        );
    }
}

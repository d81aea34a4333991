//! What the server has: groups, versions, resources, and their schemas.

use super::paths::not_found;
use crate::answer;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use api::{Registry, Resource};
use apimachinery::{ApiError, GroupVersion};
use http::StatusCode;
use serde_json::{Value, json};

pub fn handle(server: &Server, request: &ApiRequest, parts: &[&str]) -> Result<Response, ApiError> {
    let registry = server.registry.load();
    let accepted = media::negotiate(&request.headers, request.query.get("pretty"), |_| true);
    let document = match parts {
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server.advertised }],
        })),
        ["apis"] => Some(group_list(&registry)),
        ["api", version] => resource_list(&registry, &GroupVersion::new("", *version)),
        ["apis", group] => registry.groups().into_iter().find(|(name, _)| name == group).map(|(name, versions)| {
            let mut document = group_value(&name, &versions);
            document["kind"] = json!("APIGroup");
            document["apiVersion"] = json!("v1");
            document
        }),
        ["apis", group, version] => resource_list(&registry, &GroupVersion::new(*group, *version)),
        _ => None,
    };
    match document {
        Some(document) => Ok(answer::value(StatusCode::OK, &document, &accepted?)),
        None => Ok(not_found()),
    }
}

pub fn openapi(_server: &Server, _request: &ApiRequest, _parts: &[&str]) -> Result<Response, ApiError> {
    Ok(not_found())
}

fn group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry.groups().iter().filter(|(group, _)| !group.is_empty()).map(|(group, versions)| group_value(group, versions)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

fn group_value(group: &str, versions: &[GroupVersion]) -> Value {
    let versions: Vec<Value> = versions.iter().map(|version| json!({ "groupVersion": version.to_string(), "version": version.version })).collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

fn resource_list(registry: &Registry, version: &GroupVersion) -> Option<Value> {
    let mut resources = Vec::new();
    for row in registry.iter().filter(|row| row.gvk.group_version() == *version) {
        resources.push(resource_value(row));
        for subresource in &row.subresources {
            let mut value = json!({
                "name": format!("{}/{}", row.plural, subresource.name),
                "singularName": "",
                "namespaced": row.namespaced,
                "kind": subresource.gvk.kind,
                "verbs": subresource.verbs,
            });
            if subresource.gvk.group_version() != *version {
                value["group"] = json!(subresource.gvk.group);
                value["version"] = json!(subresource.gvk.version);
            }
            resources.push(value);
        }
    }
    if resources.is_empty() {
        return None;
    }
    resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Some(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version.to_string(), "resources": resources }))
}

fn resource_value(row: &Resource) -> Value {
    let mut value = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.gvk.kind,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        value["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        value["categories"] = json!(row.categories);
    }
    value
}

//! Documents of what is no resource: which versions and resources there are, the program's version, keys of tokens.
use super::operations::{META, capital, content, group_of_ids, group_words, reference, tag};
use crate::Registry;
use apimachinery::GroupVersion;
use serde_json::{Value, json};

const DISCOVERY: [&str; 3] = [
    "application/json",
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
];

/// Names of the documents that don't depend on what is served.
const FIXED: [&str; 5] = [
    ".well-known/openid-configuration",
    "api",
    "apis",
    "openid/v1/jwks",
    "version",
];

/// Names of all of them. Groups of custom resources have none, as upstream's.
pub(super) fn names(registry: &Registry) -> Vec<String> {
    let fixed = FIXED.iter().map(|name| (*name).to_owned());
    let groups = built_in_groups(registry).map(|group| format!("apis/{group}"));
    fixed.chain(groups).collect()
}

fn built_in_groups(registry: &Registry) -> impl Iterator<Item = String> {
    let groups = registry.groups().into_iter().map(|(group, _)| group);
    let built_in = groups.filter(|group| {
        let mut rows = registry.iter().filter(|row| row.gvk.group == *group);
        !group.is_empty() && rows.any(|row| row.custom.is_none())
    });
    built_in.collect::<Vec<_>>().into_iter()
}

/// The paths of the document of that name.
pub(super) fn paths(registry: &Registry, name: &str) -> Option<Value> {
    let discovery = |schema: &str| content(&DISCOVERY, &format!("{META}.{schema}"));
    let json = |schema: Value| json!({"application/json": {"schema": schema}});
    let (id, description, tag, content) = match name {
        "api" => (
            "getCoreAPIVersions".to_owned(),
            "get available API versions",
            "core".to_owned(),
            discovery("APIVersions"),
        ),
        "apis" => (
            "getAPIVersions".to_owned(),
            "get available API versions",
            "apis".to_owned(),
            discovery("APIGroupList"),
        ),
        "version" => (
            "getCodeVersion".to_owned(),
            "get the version information for this server",
            "version".to_owned(),
            json(reference("io.k8s.apimachinery.pkg.version.Info")),
        ),
        ".well-known/openid-configuration" => (
            "getServiceAccountIssuerOpenIDConfiguration".to_owned(),
            "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
            "WellKnown".to_owned(),
            json(json!({"type": "string"})),
        ),
        "openid/v1/jwks" => (
            "getServiceAccountIssuerOpenIDKeyset".to_owned(),
            "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
            "openid".to_owned(),
            json!({"application/jwk-set+json": {"schema": {"type": "string"}}}),
        ),
        _ => {
            let group = name.strip_prefix("apis/")?;
            built_in_groups(registry).find(|known| known == group)?;
            let words = group_words(group);
            (
                format!("get{}APIGroup", capital(&words)),
                "get information of a group",
                words,
                discovery("APIGroup"),
            )
        }
    };
    let mut paths = json!({});
    paths[format!("/{name}/")] = get(&id, description, &tag, content);
    Some(paths)
}

/// The path that lists a version's resources.
pub(super) fn resources(version: &GroupVersion) -> Value {
    let id = format!("get{}APIResources", group_of_ids(version));
    let content = content(&DISCOVERY, &format!("{META}.APIResourceList"));
    get(&id, "get available resources", &tag(version), content)
}

fn get(id: &str, description: &str, tag: &str, content: Value) -> Value {
    json!({"get": {
        "tags": [tag],
        "description": description,
        "operationId": id,
        "responses": {
            "200": {"description": "OK", "content": content},
            "401": {"description": "Unauthorized"},
        },
    }})
}

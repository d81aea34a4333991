//! Paths and operations of a kind.
use super::{connections, watches};
use crate::Resource;
use crate::schema_name;
use apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
pub(super) const JSON: &str = "application/json";
pub(super) const YAML: &str = "application/yaml";
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const TEXTS: &[&str] = &[JSON, YAML];

/// What lists and watches are answered in.
pub(super) const STREAMS: [&str; 5] = [
    JSON,
    "application/json;stream=watch",
    PROTOBUF,
    "application/vnd.kubernetes.protobuf;stream=watch",
    YAML,
];
pub(super) const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];
const PATCH: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_COLLECTION: &[(&str, &str)] = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
];

pub(super) fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

pub(super) fn content(types: &[&str], schema: &str) -> Value {
    types
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) fn parameters(list: &[(&str, &str)]) -> Value {
    list.iter()
        .map(|(name, ty)| json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}}))
        .collect()
}

struct Builder<'a> {
    row: &'a Resource,
    gvk: &'a GroupVersionKind,
    /// `AppsV1`.
    group: String,
    scope: &'static str,
    suffix: String,
}

impl Builder<'_> {
    fn operation(
        &self,
        action: &str,
        verb: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
        answer: &str,
        codes: &[&str],
        media: &[&str],
    ) -> Value {
        let mut responses = json!({"401": {"description": "Unauthorized"}});
        for code in codes {
            let description = match *code {
                "201" => "Created",
                "202" => "Accepted",
                _ => "OK",
            };
            responses[*code] = json!({"description": description, "content": content(media, answer)});
        }
        let mut operation = json!({
            "tags": [tag(&self.row.gvk.group_version())],
            "operationId": format!("{verb}{}{}{}{}", self.group, self.scope, self.row.gvk.kind, self.suffix),
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": self.gvk.group, "version": self.gvk.version, "kind": self.gvk.kind},
        });
        if !query.is_empty() {
            operation["parameters"] = parameters(query);
        }
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// What a version is called among tags: `rbacAuthorization_v1`.
pub(super) fn tag(version: &GroupVersion) -> String {
    format!("{}_{}", group_words(&version.group), version.version)
}

/// What a version is called in operations' IDs: `RbacAuthorizationV1`.
pub(super) fn group_of_ids(version: &GroupVersion) -> String {
    format!(
        "{}{}",
        capital(&group_words(&version.group)),
        capital(&version.version)
    )
}

/// A group's name as one word: `rbacAuthorization`.
pub(super) fn group_words(group: &str) -> String {
    if group.is_empty() {
        return "core".to_owned();
    }
    let name = group.strip_suffix(".k8s.io").unwrap_or(group);
    let mut words = name.split(['.', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &capital(word))
}

pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// Adds the paths of a kind below `base` (`/apis/apps/v1`).
pub(super) fn paths(row: &Resource, base: &str, out: &mut BTreeMap<String, Value>) {
    let builder = Builder {
        row,
        gvk: &row.gvk,
        group: group_of_ids(&row.gvk.group_version()),
        scope: if row.namespaced { "Namespaced" } else { "" },
        suffix: String::new(),
    };
    let schema = if row.custom.is_some() {
        row.schema().name.clone()
    } else {
        schema_name(&row.gvk)
    };
    let place = if row.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", row.plural)
    } else {
        format!("{base}/{}", row.plural)
    };
    // Custom kinds have no other forms than these, which their operations take and give.
    let custom = row.custom.is_some();
    let plain: &[&str] = if custom { TEXTS } else { &[JSON, PROTOBUF, YAML] };
    let streams: &[&str] = if custom { TEXTS } else { &STREAMS };
    let taken: &[&str] = if custom { TEXTS } else { &["*/*"] };
    let list_schema = format!("{schema}List");
    let mut collection = json!({});
    let mut item = json!({});
    let body = |schema: &str| json!({"required": true, "content": content(taken, schema)});
    let delete_body = json!({"content": content(taken, &format!("{META}.DeleteOptions"))});
    let status = format!("{META}.Status");
    if row.has_verb("list") {
        collection["get"] = builder.operation("list", "list", LIST, None, &list_schema, &["200"], streams);
    }
    if row.has_verb("create") {
        collection["post"] = builder.operation(
            "post",
            "create",
            WRITE,
            Some(body(&schema)),
            &schema,
            &["200", "201", "202"],
            plain,
        );
    }
    if row.has_verb("deletecollection") {
        let mut operation = builder.operation(
            "deletecollection",
            "delete",
            DELETE_COLLECTION,
            Some(delete_body.clone()),
            &status,
            &["200"],
            plain,
        );
        operation["operationId"] = json!(format!(
            "delete{}Collection{}{}",
            builder.group, builder.scope, row.gvk.kind
        ));
        collection["delete"] = operation;
    }
    if row.has_verb("get") {
        item["get"] = builder.operation("get", "read", &[], None, &schema, &["200"], plain);
    }
    if row.has_verb("update") {
        item["put"] = builder.operation(
            "put",
            "replace",
            WRITE,
            Some(body(&schema)),
            &schema,
            &["200", "201"],
            plain,
        );
    }
    if row.has_verb("patch") {
        item["patch"] = builder.operation(
            "patch",
            "patch",
            PATCH,
            Some(patch_body(row)),
            &schema,
            &["200", "201"],
            plain,
        );
    }
    if row.has_verb("delete") {
        item["delete"] = builder.operation(
            "delete",
            "delete",
            DELETE,
            Some(delete_body),
            &status,
            &["200", "202"],
            plain,
        );
    }
    insert(out, &place, collection, row, false);
    insert(out, &format!("{place}/{{name}}"), item, row, true);
    if row.namespaced && row.has_verb("list") {
        let everywhere = Builder {
            scope: "",
            suffix: "ForAllNamespaces".into(),
            ..builder
        };
        let operation = everywhere.operation("list", "list", &[], None, &list_schema, &["200"], streams);
        let shared = shared_parameters(row, Place::Everywhere, LIST);
        out.insert(
            format!("{base}/{}", row.plural),
            json!({"get": operation, "parameters": shared}),
        );
    }
    for subresource in &row.subresources {
        let schema = schema_name(&subresource.gvk);
        let (schema, known) = if row.custom.is_some() && subresource.gvk == row.gvk {
            (row.schema().name.clone(), true)
        } else {
            let known = crate::schema::built_in().id(&schema).is_some();
            (schema, known)
        };
        if !known {
            continue;
        }
        let builder = Builder {
            row,
            gvk: &subresource.gvk,
            group: group_of_ids(&row.gvk.group_version()),
            scope: if row.namespaced { "Namespaced" } else { "" },
            suffix: capital(&subresource.name),
        };
        let mut operations = json!({});
        for verb in &subresource.verbs {
            match verb.as_str() {
                "get" => {
                    operations["get"] = builder.operation("get", "read", &[], None, &schema, &["200"], plain)
                }
                "update" => {
                    operations["put"] = builder.operation(
                        "put",
                        "replace",
                        WRITE,
                        Some(body(&schema)),
                        &schema,
                        &["200", "201"],
                        plain,
                    )
                }
                "patch" => {
                    operations["patch"] = builder.operation(
                        "patch",
                        "patch",
                        PATCH,
                        Some(patch_body(row)),
                        &schema,
                        &["200", "201"],
                        plain,
                    )
                }
                "create" => {
                    operations["post"] = builder.operation(
                        "post",
                        "create",
                        WRITE,
                        Some(body(&schema)),
                        &schema,
                        &["200", "201", "202"],
                        plain,
                    )
                }
                _ => {}
            }
        }
        insert(
            out,
            &format!("{place}/{{name}}/{}", subresource.name),
            operations,
            row,
            true,
        );
    }
    if row.custom.is_none() {
        watches::paths(row, base, out);
        connections::paths(row, &place, out);
    }
}

fn patch_body(row: &Resource) -> Value {
    let types = [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];
    // The last one needs what only Go types say.
    let types = if row.custom.is_some() {
        &types[..3]
    } else {
        &types[..]
    };
    json!({"required": true, "content": content(types, &format!("{META}.Patch"))})
}

fn insert(out: &mut BTreeMap<String, Value>, path: &str, mut operations: Value, row: &Resource, named: bool) {
    if operations.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let place = match (named, row.namespaced) {
        (true, _) => Place::Named,
        (false, true) => Place::Namespace,
        (false, false) => Place::Everywhere,
    };
    operations["parameters"] = shared_parameters(row, place, &[]);
    out.insert(path.to_owned(), operations);
}

/// Which objects a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All of them.
    Everywhere,
    /// Those of a namespace.
    Namespace,
    /// A single one.
    Named,
}

pub(super) fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
}

/// Parameters of all operations of a path, in the order of their names.
pub(super) fn shared_parameters(row: &Resource, place: Place, query: &[(&str, &str)]) -> Value {
    let mut shared = match parameters(query) {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    if place == Place::Named {
        shared.push(in_path("name"));
    }
    if row.namespaced && place != Place::Everywhere {
        shared.push(in_path("namespace"));
    }
    shared.push(json!({"name": "pretty", "in": "query", "schema": {"type": "string", "uniqueItems": true}}));
    shared.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Value::Array(shared)
}

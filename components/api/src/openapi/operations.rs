//! Paths and operations of a kind.
use crate::Resource;
use crate::schema_name;
use apimachinery::GroupVersionKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const LIST: &[(&str, &str)] = &[
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

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn content(types: &[&str], schema: &str) -> Value {
    types
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn parameters(list: &[(&str, &str)]) -> Value {
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
            "tags": [tag(&self.row.gvk)],
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

fn tag(gvk: &GroupVersionKind) -> String {
    let group = gvk
        .group
        .split('.')
        .next()
        .filter(|group| !group.is_empty())
        .unwrap_or("core");
    format!("{group}_{}", gvk.version)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// Adds the paths of a kind below `base` (`/apis/apps/v1`).
pub(super) fn paths(row: &Resource, base: &str, out: &mut BTreeMap<String, Value>) {
    let group = row
        .gvk
        .group
        .split('.')
        .next()
        .filter(|group| !group.is_empty())
        .unwrap_or("core");
    let builder = Builder {
        row,
        gvk: &row.gvk,
        group: format!("{}{}", capital(group), capital(&row.gvk.version)),
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
    let plain = [JSON, PROTOBUF, YAML];
    let streams = [
        JSON,
        "application/json;stream=watch",
        PROTOBUF,
        "application/vnd.kubernetes.protobuf;stream=watch",
        YAML,
    ];
    let list_schema = format!("{schema}List");
    let mut collection = json!({});
    let mut item = json!({});
    let body = |schema: &str| json!({"required": true, "content": {"*/*": {"schema": reference(schema)}}});
    let delete_body = json!({"content": {"*/*": {"schema": reference(&format!("{META}.DeleteOptions"))}}});
    let status = format!("{META}.Status");
    if row.has_verb("list") {
        collection["get"] = builder.operation("list", "list", LIST, None, &list_schema, &["200"], &streams);
    }
    if row.has_verb("create") {
        collection["post"] = builder.operation(
            "post",
            "create",
            WRITE,
            Some(body(&schema)),
            &schema,
            &["200", "201", "202"],
            &plain,
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
            &plain,
        );
        operation["operationId"] = json!(format!(
            "delete{}Collection{}{}",
            builder.group, builder.scope, row.gvk.kind
        ));
        collection["delete"] = operation;
    }
    if row.has_verb("get") {
        item["get"] = builder.operation("get", "read", &[], None, &schema, &["200"], &plain);
    }
    if row.has_verb("update") {
        item["put"] = builder.operation(
            "put",
            "replace",
            WRITE,
            Some(body(&schema)),
            &schema,
            &["200", "201"],
            &plain,
        );
    }
    if row.has_verb("patch") {
        item["patch"] = builder.operation(
            "patch",
            "patch",
            PATCH,
            Some(patch_body()),
            &schema,
            &["200", "201"],
            &plain,
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
            &plain,
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
        let mut operation = everywhere.operation("list", "list", &[], None, &list_schema, &["200"], &streams);
        operation["parameters"] = parameters(LIST);
        out.insert(format!("{base}/{}", row.plural), json!({"get": operation}));
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
            group: format!("{}{}", capital(group), capital(&row.gvk.version)),
            scope: if row.namespaced { "Namespaced" } else { "" },
            suffix: capital(&subresource.name),
        };
        let mut operations = json!({});
        for verb in &subresource.verbs {
            match verb.as_str() {
                "get" => {
                    operations["get"] = builder.operation("get", "read", &[], None, &schema, &["200"], &plain)
                }
                "update" => {
                    operations["put"] = builder.operation(
                        "put",
                        "replace",
                        WRITE,
                        Some(body(&schema)),
                        &schema,
                        &["200", "201"],
                        &plain,
                    )
                }
                "patch" => {
                    operations["patch"] = builder.operation(
                        "patch",
                        "patch",
                        PATCH,
                        Some(patch_body()),
                        &schema,
                        &["200", "201"],
                        &plain,
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
                        &plain,
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
}

fn patch_body() -> Value {
    let types = [
        "application/apply-patch+cbor",
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];
    json!({"required": true, "content": content(&types, &format!("{META}.Patch"))})
}

fn insert(out: &mut BTreeMap<String, Value>, path: &str, mut operations: Value, row: &Resource, named: bool) {
    if operations.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let mut shared = Vec::new();
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    if named {
        shared.push(in_path("name"));
    }
    if row.namespaced {
        shared.push(in_path("namespace"));
    }
    shared.push(json!({"name": "pretty", "in": "query", "schema": {"type": "string", "uniqueItems": true}}));
    operations["parameters"] = Value::Array(shared);
    out.insert(path.to_owned(), operations);
}

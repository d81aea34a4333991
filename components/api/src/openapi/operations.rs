//! Paths and operations of a kind.
use super::items::{Shared, item};
use super::options::{DELETE, DELETE_COLLECTION, GET, LIST, LOG, NONE, Options, PATCH, WRITE, parameters};
use super::{connections, phrases, watches};
use crate::schema_name;
use crate::{Resource, Subresource};
use apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
pub(super) const JSON: &str = "application/json";
pub(super) const YAML: &str = "application/yaml";
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const TEXTS: &[&str] = &[JSON, YAML];
const PLAIN: &[&str] = &[JSON, PROTOBUF, YAML];

/// What lists and watches are answered in.
pub(super) const STREAMS: [&str; 5] = [
    JSON,
    "application/json;stream=watch",
    PROTOBUF,
    "application/vnd.kubernetes.protobuf;stream=watch",
    YAML,
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

struct Builder<'a> {
    row: &'a Resource,
    /// What the requests and answers are of.
    gvk: &'a GroupVersionKind,
    /// `AppsV1`.
    group: String,
    scope: &'static str,
    subresource: Option<&'a str>,
    /// Answers' forms.
    plain: &'static [&'static str],
    /// Forms of lists, which may be watched.
    streams: &'static [&'static str],
    /// Forms of bodies.
    taken: &'static [&'static str],
}

impl<'a> Builder<'a> {
    fn of(row: &'a Resource) -> Self {
        // Custom kinds have no other forms than these, which their operations take and give.
        let custom = row.custom.is_some();
        Self {
            row,
            gvk: &row.gvk,
            group: group_of_ids(&row.gvk.group_version()),
            scope: if row.namespaced { "Namespaced" } else { "" },
            subresource: None,
            plain: if custom { TEXTS } else { PLAIN },
            streams: if custom { TEXTS } else { &STREAMS },
            taken: if custom { TEXTS } else { &["*/*"] },
        }
    }

    fn body(&self, schema: &str) -> Value {
        json!({"required": true, "content": content(self.taken, schema)})
    }

    fn delete_body(&self) -> Value {
        json!({"content": content(self.taken, &format!("{META}.DeleteOptions"))})
    }

    /// An operation whose ID begins with `verb`.
    fn operation(
        &self,
        action: &str,
        verb: &str,
        query: Options,
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
        let suffix = self.subresource.map_or_else(String::new, capital);
        let mut operation = json!({
            "tags": [tag(&self.row.gvk.group_version())],
            "description": phrases::operation(verb, &self.gvk.kind, self.subresource, self.watched()),
            "operationId": format!("{verb}{}{}{}{suffix}", self.group, self.scope, self.row.gvk.kind),
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": self.gvk.group, "version": self.gvk.version, "kind": self.gvk.kind},
        });
        let query = parameters(query);
        if !query.is_empty() {
            operation["parameters"] = Value::Array(query);
        }
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        operation
    }

    /// Whether what lists say of watches is said of this kind's; it isn't of custom kinds.
    fn watched(&self) -> bool {
        self.row.custom.is_none() && self.row.has_verb("watch")
    }

    fn list(&self, schema: &str) -> Value {
        self.operation("list", "list", LIST, None, schema, &["200"], self.streams)
    }

    fn create(&self, schema: &str) -> Value {
        let codes = ["200", "201", "202"];
        let body = Some(self.body(schema));
        self.operation("post", "create", WRITE, body, schema, &codes, self.plain)
    }

    fn read(&self, schema: &str) -> Value {
        let query = if self.row.custom.is_some() { GET } else { NONE };
        self.operation("get", "read", query, None, schema, &["200"], self.plain)
    }

    fn replace(&self, schema: &str) -> Value {
        let codes = ["200", "201"];
        let body = Some(self.body(schema));
        self.operation("put", "replace", WRITE, body, schema, &codes, self.plain)
    }

    fn patch(&self, schema: &str) -> Value {
        let body = Some(patch_body(self.row));
        // Upstream doesn't tell of custom kinds that an applied object may be a new one.
        let codes: &[&str] = match self.row.custom {
            Some(_) => &["200"],
            None => &["200", "201"],
        };
        self.operation("patch", "patch", PATCH, body, schema, codes, self.plain)
    }

    fn delete(&self) -> Value {
        let (body, status) = (Some(self.delete_body()), format!("{META}.Status"));
        let codes = ["200", "202"];
        self.operation("delete", "delete", DELETE, body, &status, &codes, self.plain)
    }

    fn delete_collection(&self) -> Value {
        let (action, status) = ("deletecollection", format!("{META}.Status"));
        // Of custom kinds upstream tells what a list of them takes.
        let (query, body) = match self.row.custom {
            Some(_) => (LIST, None),
            None => (DELETE_COLLECTION, Some(self.delete_body())),
        };
        let mut operation = self.operation(action, action, query, body, &status, &["200"], self.plain);
        operation["operationId"] = json!(format!(
            "delete{}Collection{}{}",
            self.group, self.scope, self.row.gvk.kind
        ));
        operation
    }

    /// What a pod's containers wrote, which is text whatever is asked for.
    fn log(&self) -> Value {
        let mut operation = self.operation("get", "read", LOG, None, "", &[], &[]);
        let content: Map<String, Value> = PLAIN
            .iter()
            .chain(&["text/plain"])
            .map(|media| ((*media).to_owned(), json!({"schema": {"type": "string"}})))
            .collect();
        operation["responses"]["200"] = json!({"description": "OK", "content": content});
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
    let builder = Builder::of(row);
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
    let list_schema = format!("{schema}List");
    let shared = |named| Shared {
        named,
        namespaced: row.namespaced,
        below: false,
        pretty: true,
    };
    let mut collection = Map::new();
    let mut add = |method: &str, verb: &str, make: &dyn Fn() -> Value| {
        if row.has_verb(verb) {
            collection.insert(method.to_owned(), make());
        }
    };
    add("get", "list", &|| builder.list(&list_schema));
    add("post", "create", &|| builder.create(&schema));
    add("delete", "deletecollection", &|| builder.delete_collection());
    insert(out, &place, collection, shared(None));
    let mut single = Map::new();
    let mut add = |method: &str, verb: &str, make: &dyn Fn() -> Value| {
        if row.has_verb(verb) {
            single.insert(method.to_owned(), make());
        }
    };
    add("get", "get", &|| builder.read(&schema));
    add("put", "update", &|| builder.replace(&schema));
    add("patch", "patch", &|| builder.patch(&schema));
    add("delete", "delete", &|| builder.delete());
    let named = Some(row.gvk.kind.as_str());
    insert(out, &format!("{place}/{{name}}"), single, shared(named));
    if row.namespaced && row.has_verb("list") {
        let everywhere = Builder {
            scope: "",
            ..Builder::of(row)
        };
        let mut operation = everywhere.list(&list_schema);
        operation["operationId"] = json!(format!(
            "list{}{}ForAllNamespaces",
            everywhere.group, row.gvk.kind
        ));
        let anywhere = Shared {
            namespaced: false,
            ..shared(None)
        };
        let operations = Map::from_iter([("get".to_owned(), operation)]);
        insert(out, &format!("{base}/{}", row.plural), operations, anywhere);
    }
    for subresource in &row.subresources {
        let path = format!("{place}/{{name}}/{}", subresource.name);
        // Upstream tells of a custom kind's scale as if it were of the kind.
        let gvk = match row.custom {
            Some(_) => &row.gvk,
            None => &subresource.gvk,
        };
        let operations = subresource_operations(row, subresource, gvk);
        insert(out, &path, operations, shared(Some(&gvk.kind)));
    }
    if row.custom.is_none() {
        watches::paths(row, base, out);
        connections::paths(row, &place, out);
    }
}

fn subresource_operations(
    row: &Resource,
    subresource: &Subresource,
    gvk: &GroupVersionKind,
) -> Map<String, Value> {
    let schema = schema_name(&subresource.gvk);
    let schema = if row.custom.is_some() && subresource.gvk == row.gvk {
        row.schema().name.clone()
    } else if crate::schema::built_in().id(&schema).is_some() {
        schema
    } else {
        return Map::new();
    };
    let builder = Builder {
        gvk,
        subresource: Some(&subresource.name),
        ..Builder::of(row)
    };
    let operation = |verb: &String| {
        let (method, made) = match verb.as_str() {
            "get" if subresource.name == "log" => ("get", builder.log()),
            "get" => ("get", builder.read(&schema)),
            "update" => ("put", builder.replace(&schema)),
            "patch" => ("patch", builder.patch(&schema)),
            "create" => ("post", builder.create(&schema)),
            _ => return None,
        };
        Some((method.to_owned(), made))
    };
    subresource.verbs.iter().filter_map(operation).collect()
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

fn insert(out: &mut BTreeMap<String, Value>, path: &str, operations: Map<String, Value>, shared: Shared<'_>) {
    if !operations.is_empty() {
        out.insert(path.to_owned(), item(operations, shared));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_kinds_take_what_upstreams_builder_says() {
        let names = json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"});
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let scale = json!({"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"});
        let definition = json!({
            "metadata": {"name": "as.x.io"},
            "spec": {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"scale": scale}}]},
            "status": {"acceptedNames": names},
        });
        let rows = crate::custom::rows(&definition, &mut || 1);
        let mut found = BTreeMap::new();
        paths(&rows[0], "/apis/x.io/v1", &mut found);
        let list = "/apis/x.io/v1/namespaces/{namespace}/as";
        let (item, scale) = (format!("{list}/{{name}}"), format!("{list}/{{name}}/scale"));
        for (path, method, description, parameters, codes) in [
            (list, "get", "list objects of kind A", 11, "200"),
            (list, "delete", "delete collection of A", 11, "200"),
            (list, "post", "create an A", 3, "200 201 202"),
            (&item, "get", "read the specified A", 1, "200"),
            (&item, "patch", "partially update the specified A", 4, "200"),
            (&item, "delete", "delete an A", 5, "200 202"),
            (&scale, "put", "replace scale of the specified A", 3, "200 201"),
        ] {
            let operation = &found[path][method];
            assert_eq!(operation["description"], description);
            let told = operation["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(told, parameters, "{description}");
            let answers = operation["responses"].as_object().unwrap().keys();
            let answers: Vec<&str> = answers
                .map(String::as_str)
                .filter(|code| *code != "401")
                .collect();
            assert_eq!(answers.join(" "), codes, "{description}");
            assert_eq!(operation["x-kubernetes-group-version-kind"]["kind"], "A");
        }
        assert_eq!(found[list]["delete"].get("requestBody"), None);
        let name = &found[&scale]["parameters"][0];
        assert_eq!(name["description"], "name of the A");
    }
}

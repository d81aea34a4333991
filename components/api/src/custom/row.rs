//! Rows of the registry that a definition makes.
use super::json_path::JsonPath;
use super::paths::SimplePath;
use super::rules::RuleSet;
use super::scale::Scale;
use super::schema::Schema;
use super::typed;
use super::version::Version;
use crate::features::Features;
use crate::registry::{Column, Resource, Subresource};
use crate::strategy::Gates;
use apimachinery::{GroupVersion, GroupVersionKind, meta};
use serde_json::Value;
use std::sync::Arc;

/// How objects get from one version to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Conversion {
    /// Only apiVersion changes.
    #[default]
    None,
    /// A webhook does it: its `clientConfig`, and the review versions that it understands.
    Webhook {
        client: Value,
        review_versions: Vec<String>,
    },
}

/// What a version of a CustomResourceDefinition says about its objects.
#[derive(Debug)]
pub struct Definition {
    /// Name of the definition: `widgets.example.com`.
    pub name: String,
    pub uid: String,
    pub schema: Schema,
    /// The schema as it is published, without what is only checked.
    pub published: Value,
    pub rules: RuleSet,
    pub scale: Option<Scale>,
    pub has_status: bool,
    pub selectable: Vec<SimplePath>,
    /// Paths of the columns after Name, in the row's order.
    pub columns: Vec<JsonPath>,
    pub conversion: Conversion,
    /// Warning for those who use a deprecated version.
    pub deprecation: Option<String>,
    /// The objects of the definition are being deleted: there are no new ones.
    pub terminating: bool,
    /// All versions, served or not, which stored objects may be in.
    pub versions: Arc<[Version]>,
    /// The number under which stored objects keep their form in this version.
    pub encoding: u16,
}

impl Definition {
    /// A version by its name, served or not.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Whether discovery shows a verb of the objects. All but create work all the same.
    pub(crate) fn shows(&self, verb: &str) -> bool {
        !(self.terminating && NOT_WHILE_TERMINATING.contains(&verb))
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

const VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// Those that discovery does not show while the objects are being deleted.
const NOT_WHILE_TERMINATING: &[&str] = &["patch", "create", "update"];

/// Its Terminating condition is what says so: a definition that others hold on to when its objects are gone is as it was before.
fn is_terminating(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| text(condition, "type") == "Terminating" && text(condition, "status") == "True")
}

/// The rows of a definition's served versions, the preferred one first. Names are those that were accepted;
/// `number` gives each row the number under which objects keep their form in it.
pub fn rows(definition: &Value, number: &mut dyn FnMut() -> u16) -> Vec<Resource> {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let group = text(spec, "group");
    let versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
    let Some(storage) = versions.iter().find(|version| version["storage"] == true) else {
        return Vec::new();
    };
    let conversion = match text(&spec["conversion"], "strategy") {
        "Webhook" => Conversion::Webhook {
            client: spec["conversion"]["webhook"]["clientConfig"].clone(),
            review_versions: texts(&spec["conversion"]["webhook"]["conversionReviewVersions"]),
        },
        _ => Conversion::None,
    };
    let all: Arc<[Version]> = versions
        .iter()
        .map(|version| {
            let name = text(version, "name");
            let gvk = GroupVersionKind::new(group, name, text(names, "kind"));
            let schema = whole(Schema::parse(&version["schema"]["openAPIV3Schema"]), spec);
            let scale = Scale::parse(&version["subresources"]["scale"]);
            let mut made = Version::new(name, schema_name(&gvk), schema, has_status(version));
            made.replicas = scale.map(|scale| scale.spec_replicas);
            made
        })
        .collect();
    let mut sorted = versions.clone();
    sorted.sort_by(|a, b| compare_versions(text(a, "name"), text(b, "name")));
    let storage_version = GroupVersion::new(group, text(storage, "name"));
    sorted
        .into_iter()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let gvk = GroupVersionKind::new(group, text(version, "name"), text(names, "kind"));
            let schema = whole(Schema::parse(&version["schema"]["openAPIV3Schema"]), spec);
            let type_name = schema_name(&gvk);
            let (set, schema_id) = typed::set(&type_name, &schema);
            let scale = Scale::parse(&version["subresources"]["scale"]);
            let has_status = has_status(version);
            let (columns, paths) = columns(version);
            let deprecation =
                (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
                    Some(warning) => warning.to_owned(),
                    None => format!("{}/{} {} is deprecated", gvk.group, gvk.version, gvk.kind),
                });
            let own = Definition {
                name: meta::name(definition).to_owned(),
                uid: meta::uid(definition).to_owned(),
                rules: RuleSet::compile(&schema),
                schema,
                published: version["schema"]["openAPIV3Schema"].clone(),
                has_status,
                selectable: version["selectableFields"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|field| SimplePath::parse(text(field, "jsonPath")))
                    .collect(),
                columns: paths,
                conversion: conversion.clone(),
                deprecation,
                terminating: is_terminating(definition),
                versions: Arc::clone(&all),
                encoding: number(),
                scale,
            };
            Resource {
                list_kind: text(names, "listKind").to_owned(),
                plural: text(names, "plural").to_owned(),
                singular: text(names, "singular").to_owned(),
                namespaced: text(spec, "scope") == "Namespaced",
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                verbs: VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
                subresources: subresources(&gvk, &own),
                columns,
                storage_prefix: format!("{group}/{}", text(names, "plural")),
                storage_version: storage_version.clone(),
                schemas: Arc::new(set),
                schema_id,
                custom: Some(Arc::new(own)),
                features: Features::default(),
                gates: Gates::default(),
                least: u32::MAX,
                gvk,
            }
        })
        .collect()
}

fn has_status(version: &Value) -> bool {
    version["subresources"]["status"].is_object()
}

/// Definitions of old may preserve unknown fields everywhere.
fn whole(mut schema: Schema, spec: &Value) -> Schema {
    schema.unpruned = spec["preserveUnknownFields"] == true;
    schema.preserve_unknown |= schema.unpruned;
    schema
}

fn subresources(gvk: &GroupVersionKind, definition: &Definition) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].map(str::to_owned).to_vec();
    let mut out = Vec::new();
    if definition.has_status {
        out.push(Subresource {
            name: "status".into(),
            gvk: gvk.clone(),
            verbs: verbs(),
        });
    }
    if definition.scale.is_some() {
        out.push(Subresource {
            name: "scale".into(),
            gvk: GroupVersionKind::new("autoscaling", "v1", "Scale"),
            verbs: verbs(),
        });
    }
    out
}

fn columns(version: &Value) -> (Vec<Column>, Vec<JsonPath>) {
    let mut columns = vec![Column {
        name: "Name".into(),
        ty: "string".into(),
        format: "name".into(),
        priority: 0,
        description: crate::table::name_description().to_owned(),
    }];
    let mut paths = Vec::new();
    // Whether a column has a path that can be followed.
    let mut add = |column: &Value| {
        let Some(path) = JsonPath::parse(text(column, "jsonPath")) else {
            return false;
        };
        let described = text(column, "description");
        columns.push(Column {
            name: text(column, "name").to_owned(),
            ty: text(column, "type").to_owned(),
            format: text(column, "format").to_owned(),
            priority: column["priority"]
                .as_i64()
                .and_then(|priority| i32::try_from(priority).ok())
                .unwrap_or(0),
            description: if described.is_empty() {
                format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    text(column, "jsonPath")
                )
            } else {
                described.to_owned()
            },
        });
        paths.push(path);
        true
    };
    let given = version["additionalPrinterColumns"].as_array();
    // Like upstream, which takes definitions with paths that nobody can follow, this shows the columns up to the first such.
    match given.filter(|columns| !columns.is_empty()) {
        Some(given) => given.iter().all(&mut add),
        None => add(&serde_json::json!({
            "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": crate::table::age_description(),
        })),
    };
    (columns, paths)
}

/// Name of the whole object's schema in documents: the group's labels in reverse, version, kind.
fn schema_name(gvk: &GroupVersionKind) -> String {
    let reversed: Vec<&str> = gvk.group.rsplit('.').collect();
    format!("{}.{}.{}", reversed.join("."), gvk.version, gvk.kind)
}

/// Version order of Kubernetes: general availability first, then beta, then alpha, the higher number first; others
/// after them by name.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    match (parsed(a), parsed(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// (stage, major, minor), larger is preferred.
fn parsed(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    let major = number(major)?;
    if rest.is_empty() {
        return Some((3, major, 0));
    }
    let (stage, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        (Some(minor), _) => (2, minor),
        (_, Some(minor)) => (1, minor),
        _ => return None,
    };
    Some((stage, major, number(minor)?))
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_kubernetes_sorts_them() {
        let mut versions = vec![
            "foo10",
            "v1alpha1",
            "v3beta1",
            "v12alpha1",
            "v10",
            "foo1",
            "v11beta2",
            "v1",
            "v11alpha2",
            "v2",
            "v10beta3",
        ];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v11beta2",
                "v10beta3",
                "v3beta1",
                "v12alpha1",
                "v11alpha2",
                "v1alpha1",
                "foo1",
                "foo10"
            ]
        );
    }
}

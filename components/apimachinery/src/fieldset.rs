//! Sets of fields as a trie, and their FieldsV1 form.
mod element;

pub use element::Element;

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of fields. An element is keyed by its FieldsV1 text: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

impl FieldSet {
    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds the field at this path of element texts.
    pub fn insert<S: AsRef<str>>(&mut self, path: &[S]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let node = self.nodes.entry(first.as_ref().to_owned()).or_default();
        match rest {
            [] => node.member = true,
            rest => node.below.insert(rest),
        }
    }

    /// A set of these dotted names of plain fields.
    pub fn of_names(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let elements: Vec<String> = path.split('.').map(|name| format!("f:{name}")).collect();
            set.insert(&elements);
        }
        set
    }

    /// Whether the element itself is in the set.
    pub fn has(&self, element: &str) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What is below the element.
    pub fn below(&self, element: &str) -> Option<&Self> {
        self.nodes
            .get(element)
            .map(|node| &node.below)
            .filter(|below| !below.is_empty())
    }

    /// Elements at this level, each with whether it is itself in the set.
    pub fn elements(&self) -> impl Iterator<Item = (&str, bool)> {
        self.nodes
            .iter()
            .map(|(element, node)| (element.as_str(), node.member))
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool, only_left: bool, only_right: bool) -> Self {
        let mut nodes = BTreeMap::new();
        let empty = Node::default();
        let right = other
            .nodes
            .keys()
            .filter(|key| only_right && !self.nodes.contains_key(*key));
        for key in self.nodes.keys().chain(right) {
            let (left, right) = (self.nodes.get(key), other.nodes.get(key));
            if right.is_none() && !only_left {
                continue;
            }
            let (left, right) = (left.unwrap_or(&empty), right.unwrap_or(&empty));
            let node = Node {
                member: keep(left.member, right.member),
                below: left.below.combine(&right.below, keep, only_left, only_right),
            };
            if node.member || !node.below.is_empty() {
                nodes.insert(key.clone(), node);
            }
        }
        Self { nodes }
    }

    /// Fields in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a || b, true, true)
    }

    /// Fields in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && b, false, false)
    }

    /// Fields of this set that aren't in the other; what is below a removed field stays.
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b, true, false)
    }

    /// Fields of this set that neither are in the other nor are below such a field.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut nodes = BTreeMap::new();
        for (key, node) in &self.nodes {
            match other.nodes.get(key) {
                Some(removed) if removed.member => {}
                Some(removed) => {
                    let node = Node {
                        member: node.member,
                        below: node.below.recursive_difference(&removed.below),
                    };
                    if node.member || !node.below.is_empty() {
                        nodes.insert(key.clone(), node);
                    }
                }
                None => {
                    nodes.insert(key.clone(), node.clone());
                }
            }
        }
        Self { nodes }
    }

    /// Reads FieldsV1.
    pub fn from_fields_v1(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, value) in fields.as_object()? {
            if key == "." {
                continue;
            }
            Element::parse(key)?;
            let below = value.as_object()?;
            let node = Node {
                member: below.is_empty() || below.contains_key("."),
                below: Self::from_fields_v1(value)?,
            };
            set.nodes.insert(key.clone(), node);
        }
        Some(set)
    }

    /// Writes FieldsV1.
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for (key, node) in &self.nodes {
            let mut below = node.below.to_fields_v1();
            if let (true, Value::Object(below)) = (node.member && !node.below.is_empty(), &mut below) {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            map.insert(key.clone(), below);
        }
        Value::Object(map)
    }

    /// All fields as readable paths (`.spec.containers[name="a"].image`); at each level the fields themselves come first, then what is below them.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out
    }

    fn collect_paths(&self, prefix: &str, out: &mut Vec<String>) {
        let shown = |key: &str| {
            format!(
                "{prefix}{}",
                Element::parse(key).map_or_else(|| key.to_owned(), |element| element.to_string())
            )
        };
        out.extend(
            self.nodes
                .iter()
                .filter(|(_, node)| node.member)
                .map(|(key, _)| shown(key)),
        );
        for (key, node) in self.nodes.iter().filter(|(_, node)| !node.below.is_empty()) {
            node.below.collect_paths(&shown(key), out);
        }
    }

    /// Adds the named struct fields on the way to every field.
    pub(crate) fn with_named_parents(
        &self,
        set: &crate::schema::SchemaSet,
        ty: &crate::schema::Type,
    ) -> Self {
        use crate::schema::Type;
        let nodes = self.nodes.iter().map(|(key, node)| {
            let field = match ty {
                Type::Struct(id) => key.strip_prefix("f:").and_then(|name| set.get(*id).field(name)),
                _ => None,
            };
            let below = match (field, ty) {
                (Some(field), _) => node.below.with_named_parents(set, &field.ty),
                (None, Type::List(inner, _) | Type::Map(inner, _)) => {
                    node.below.with_named_parents(set, inner)
                }
                (None, _) => node.below.clone(),
            };
            (
                key.clone(),
                Node {
                    member: node.member || (field.is_some() && !node.below.is_empty()),
                    below,
                },
            )
        });
        Self {
            nodes: nodes.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_v1_both_ways() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}, "f:finalizers": {"v:\"x\"": {}}}});
        let set = FieldSet::from_fields_v1(&fields).unwrap();
        assert_eq!(set.to_fields_v1(), fields);
        assert_eq!(
            set.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.app",
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"].image",
                ".spec.finalizers[=\"x\"]"
            ]
        );
        assert_eq!(FieldSet::from_fields_v1(&json!({"x": {}})), None);
    }

    #[test]
    fn set_operations() {
        let set = |paths: &[&str]| FieldSet::of_names(paths);
        let (a, b) = (set(&["a", "b.c", "b.d"]), set(&["b.d", "e"]));
        assert_eq!(a.union(&b), set(&["a", "b.c", "b.d", "e"]));
        assert_eq!(a.intersection(&b), set(&["b.d"]));
        assert_eq!(a.difference(&b), set(&["a", "b.c"]));
        assert_eq!(a.recursive_difference(&set(&["b"])), set(&["a"]));
        assert_eq!(a.difference(&set(&["b"])), a);
    }
}

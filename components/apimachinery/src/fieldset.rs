//! Sets of fields as a trie, and their FieldsV1 form.
mod direct;
mod element;
mod owned;
mod text;

pub(crate) use direct::{LeftOut, Name, write_element, written};
pub use element::Element;
pub(crate) use element::field_element;
pub use owned::FieldsV1;
pub(crate) use text::written_length;

use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Stands for each element in a set of what is left out or taken away with all that is below it.
pub(crate) const ANY: &str = "*";

/// A set of fields. An element is keyed by its FieldsV1 text: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Sorted by element; none of them is empty.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    element: String,
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn find(&self, element: &str) -> Result<usize, usize> {
        // Fields are mostly added in their order.
        match self.nodes.last().map(|last| last.element.as_str().cmp(element)) {
            None | Some(Ordering::Less) => Err(self.nodes.len()),
            Some(Ordering::Equal) => Ok(self.nodes.len() - 1),
            Some(Ordering::Greater) => self
                .nodes
                .binary_search_by(|node| node.element.as_str().cmp(element)),
        }
    }

    fn get(&self, element: &str) -> Option<&Node> {
        self.find(element).ok().map(|at| &self.nodes[at])
    }

    /// Adds the field at this path of element texts.
    pub fn insert<S: AsRef<str>>(&mut self, path: &[S]) {
        self.attach(path, FieldSet::default());
    }

    /// Adds the field at this path, and below it these.
    pub(crate) fn attach<S: AsRef<str>>(&mut self, path: &[S], below: FieldSet) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let first = first.as_ref();
        let at = self.find(first).unwrap_or_else(|at| {
            let node = Node {
                element: first.to_owned(),
                ..Node::default()
            };
            self.nodes.insert(at, node);
            at
        });
        let node = &mut self.nodes[at];
        match rest {
            [] => {
                node.member = true;
                node.below.add(below);
            }
            rest => node.below.attach(rest, below),
        }
    }

    /// Adds an element at this level; cheapest in order.
    pub(crate) fn push(&mut self, element: String, member: bool, below: FieldSet) {
        let node = Node {
            element,
            member,
            below,
        };
        if node.is_empty() {
            return;
        }
        match self.find(&node.element) {
            Ok(at) => self.nodes[at].merge(node),
            Err(at) => self.nodes.insert(at, node),
        }
    }

    /// A set of these dotted names of plain fields; `*` is for each element.
    pub fn of_names(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let elements: Vec<String> = path.split('.').map(named).collect();
            set.insert(&elements);
        }
        set
    }

    /// Whether the element itself is in the set.
    pub fn has(&self, element: &str) -> bool {
        self.get(element).is_some_and(|node| node.member)
    }

    /// Visits the elements at this level, each with whether it is itself in the set and with what is below it.
    pub(crate) fn for_each(&mut self, mut visit: impl FnMut(&str, &mut bool, &mut Self)) {
        for node in &mut self.nodes {
            visit(&node.element, &mut node.member, &mut node.below);
        }
    }

    /// What is below the element.
    pub fn below(&self, element: &str) -> Option<&Self> {
        self.get(element)
            .map(|node| &node.below)
            .filter(|below| !below.is_empty())
    }

    /// Elements at this level, each with whether it is itself in the set.
    pub fn elements(&self) -> impl Iterator<Item = (&str, bool)> {
        self.nodes.iter().map(|node| (node.element.as_str(), node.member))
    }

    /// Adds the fields of another set.
    pub fn add(&mut self, other: Self) {
        if self.nodes.is_empty() {
            *self = other;
            return;
        }
        if other.nodes.is_empty() {
            return;
        }
        let mut merged: Vec<Node> = Vec::with_capacity(self.nodes.len() + other.nodes.len());
        let mut right = other.nodes.into_iter().peekable();
        for mut node in std::mem::take(&mut self.nodes) {
            while let Some(before) = right.next_if(|other| other.element < node.element) {
                merged.push(before);
            }
            if let Some(same) = right.next_if(|other| other.element == node.element) {
                node.merge(same);
            }
            merged.push(node);
        }
        merged.extend(right);
        self.nodes = merged;
    }

    /// Removes the fields of another set; what is below a removed field stays.
    pub fn subtract(&mut self, other: &Self) {
        let mut emptied = false;
        for removed in &other.nodes {
            if let Ok(at) = self.find(&removed.element) {
                let node = &mut self.nodes[at];
                node.member &= !removed.member;
                node.below.subtract(&removed.below);
                emptied |= node.is_empty();
            }
        }
        if emptied {
            self.nodes.retain(|node| !node.is_empty());
        }
    }

    /// Removes the fields of another set with all that is below them. [`ANY`] of the other is each element that it doesn't
    /// name.
    pub fn subtract_below(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.nodes
            .retain_mut(|node| match other.get(&node.element).or_else(|| other.get(ANY)) {
                Some(removed) if removed.member => false,
                Some(removed) => {
                    node.below.subtract_below(&removed.below);
                    !node.is_empty()
                }
                None => true,
            });
    }

    /// Fields in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.add(other.clone());
        both
    }

    /// Fields in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let nodes = self.nodes.iter().filter_map(|node| {
            let right = other.get(&node.element)?;
            let both = Node {
                member: node.member && right.member,
                below: node.below.intersection(&right.below),
                element: String::new(),
            };
            (!both.is_empty()).then(|| Node {
                element: node.element.clone(),
                ..both
            })
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Fields of this set that aren't in the other; what is below a removed field stays.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Fields of this set that neither are in the other nor are below such a field.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract_below(other);
        left
    }

    /// Reads FieldsV1.
    pub fn from_fields_v1(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, value) in fields.as_object()? {
            if key == "." {
                continue;
            }
            if !Element::is_valid(key) {
                return None;
            }
            let below = value.as_object()?;
            let member = below.is_empty() || below.contains_key(".");
            set.push(key.clone(), member, Self::from_fields_v1(value)?);
        }
        Some(set)
    }

    /// Writes FieldsV1.
    pub fn to_fields_v1(&self) -> Value {
        self.clone().into_fields_v1()
    }

    /// Turns into FieldsV1.
    pub fn into_fields_v1(self) -> Value {
        Value::Object(self.into_map())
    }

    fn into_map(self) -> Map<String, Value> {
        let entry = |node: Node| {
            let both = node.member && !node.below.is_empty();
            let mut below = node.below.into_map();
            if both {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            (node.element, Value::Object(below))
        };
        self.nodes.into_iter().map(entry).collect()
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
        let members = self.nodes.iter().filter(|node| node.member);
        out.extend(members.map(|node| shown(&node.element)));
        for node in self.nodes.iter().filter(|node| !node.below.is_empty()) {
            node.below.collect_paths(&shown(&node.element), out);
        }
    }

    /// Adds the named struct fields on the way to every field.
    pub(crate) fn with_named_parents(
        &self,
        set: &crate::schema::SchemaSet,
        ty: &crate::schema::Type,
    ) -> Self {
        use crate::schema::Type;
        let nodes = self.nodes.iter().map(|node| {
            let field = match ty {
                Type::Struct(id) => node
                    .element
                    .strip_prefix("f:")
                    .and_then(|name| set.get(*id).field(name)),
                _ => None,
            };
            let below = match (field, ty) {
                (Some(field), _) => node.below.with_named_parents(set, &field.ty),
                (None, Type::List(inner, _) | Type::Map(inner, _)) => {
                    node.below.with_named_parents(set, inner)
                }
                (None, _) => node.below.clone(),
            };
            Node {
                element: node.element.clone(),
                member: node.member || (field.is_some() && !node.below.is_empty()),
                below,
            }
        });
        Self {
            nodes: nodes.collect(),
        }
    }
}

fn named(name: &str) -> String {
    if name == ANY {
        ANY.to_owned()
    } else {
        field_element(name)
    }
}

impl Node {
    fn merge(&mut self, other: Node) {
        self.member |= other.member;
        self.below.add(other.below);
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
        let each = set(&["a.x.b", "a.y.b.c", "a.y.d"]);
        assert_eq!(each.recursive_difference(&set(&["a.*.b"])), set(&["a.y.d"]));
        assert_eq!(
            each.recursive_difference(&set(&["a.*.b", "a.y.d"])),
            set(&["a.y.b.c"])
        );
    }
}

//! What a manager owns, in the form in which it is stored: sets are added and taken away without decoding it.
use super::text::{Children, LEAF, copy, set_of, write_below, write_nodes};
use super::{FieldSet, Node};
use serde_json::Value;
use std::cmp::Ordering;

/// FieldsV1, always as we write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldsV1(String);

impl Default for FieldsV1 {
    fn default() -> Self {
        Self(LEAF.to_owned())
    }
}

impl FieldsV1 {
    /// Takes a value. `None` when it isn't FieldsV1.
    pub fn new(fields: &Value) -> Option<Self> {
        FieldSet::from_fields_v1(fields).map(Self::from)
    }

    /// Takes text that is known to be written as we write it.
    pub(crate) fn written(text: String) -> Self {
        Self(text)
    }

    pub fn is_empty(&self) -> bool {
        self.0 == LEAF
    }

    pub fn into_text(self) -> String {
        self.0
    }

    /// As a set of its own.
    pub fn to_set(&self) -> FieldSet {
        set_of(&self.0).0
    }

    /// Whether any field of the set is in this one.
    pub fn touches(&self, set: &FieldSet) -> bool {
        touches(&self.0, set)
    }

    /// Whether all fields of the set are in this one.
    pub fn contains(&self, set: &FieldSet) -> bool {
        contains(&self.0, set)
    }

    /// Whether all fields of this one are in the set.
    pub fn is_within(&self, set: &FieldSet) -> bool {
        within(&self.0, set).is_some()
    }

    pub fn add(&mut self, set: &FieldSet) {
        if !set.is_empty() {
            let mut out = String::with_capacity(self.0.len());
            write_below(&mut out, false, |out| add(out, &self.0, set));
            self.0 = out;
        }
    }

    /// Removes fields; what is below a removed field stays.
    pub fn subtract(&mut self, set: &FieldSet) {
        if self.touches(set) {
            let mut out = String::with_capacity(self.0.len());
            write_below(&mut out, false, |out| subtract(out, &self.0, set));
            self.0 = out;
        }
    }
}

impl From<&FieldSet> for FieldsV1 {
    fn from(set: &FieldSet) -> Self {
        let mut fields = Self::default();
        fields.add(set);
        fields
    }
}

impl From<FieldSet> for FieldsV1 {
    fn from(set: FieldSet) -> Self {
        Self::from(&set)
    }
}

/// What of ascending nodes is not before this element, and the node of the element itself.
fn from<'n>(nodes: &'n [Node], element: &str) -> (&'n [Node], Option<&'n Node>) {
    let before = nodes.iter().take_while(|node| node.element.as_str() < element);
    let rest = &nodes[before.count()..];
    (rest, rest.first().filter(|node| node.element == element))
}

fn touches(map: &str, set: &FieldSet) -> bool {
    let mut rest: &[Node] = &set.nodes;
    let mut children = Children::of(map);
    while let Some(child) = children.peek().filter(|_| !rest.is_empty()) {
        let (later, node) = from(rest, &child.element());
        let touched = |node: &Node| (child.is_member() && node.member) || touches(child.map, &node.below);
        if node.is_some_and(touched) {
            return true;
        }
        rest = &later[usize::from(node.is_some())..];
        if !rest.is_empty() {
            children.pass(&child);
        }
    }
    false
}

fn contains(map: &str, set: &FieldSet) -> bool {
    let mut children = Children::of(map);
    set.nodes.iter().all(|node| {
        while let Some(child) = children.peek() {
            match node.element.as_str().cmp(&child.element()) {
                Ordering::Less => return false,
                Ordering::Greater => {
                    children.pass(&child);
                }
                Ordering::Equal => {
                    return (child.is_member() || !node.member) && contains(child.map, &node.below);
                }
            }
        }
        false
    })
}

/// The length of the map that the text begins with, if all its fields are in the set.
fn within(map: &str, set: &FieldSet) -> Option<usize> {
    let mut rest: &[Node] = &set.nodes;
    let mut children = Children::of(map);
    while let Some(child) = children.peek() {
        let (later, node) = from(rest, &child.element());
        let node = node.filter(|node| node.member || !child.is_member())?;
        children.pass_map(&child, within(child.map, &node.below)?);
        rest = later;
    }
    Some(children.length())
}

/// Writes the elements of both. The map has nothing after it.
fn add(out: &mut String, map: &str, set: &FieldSet) {
    let mut rest: &[Node] = &set.nodes;
    let mut children = Children::of(map);
    while let Some(child) = children.peek().filter(|_| !rest.is_empty()) {
        let (later, node) = from(rest, &child.element());
        write_nodes(out, &rest[..rest.len() - later.len()]);
        rest = later;
        let passed = children.pass(&child);
        let Some(node) = node else {
            copy(out, passed.text);
            continue;
        };
        child.begin(out);
        write_below(out, node.member || child.is_member(), |out| {
            add(out, passed.map, &node.below)
        });
        rest = &later[1..];
    }
    copy(out, children.rest());
    write_nodes(out, rest);
}

/// Writes the elements that are left. The map has nothing after it.
fn subtract(out: &mut String, map: &str, set: &FieldSet) {
    let mut rest: &[Node] = &set.nodes;
    let mut children = Children::of(map);
    while let Some(child) = children.peek().filter(|_| !rest.is_empty()) {
        let (later, node) = from(rest, &child.element());
        let passed = children.pass(&child);
        rest = later;
        let Some(node) = node else {
            copy(out, passed.text);
            continue;
        };
        let start = out.len();
        child.begin(out);
        let member = child.is_member() && !node.member;
        if !write_below(out, member, |out| subtract(out, passed.map, &node.below)) {
            out.truncate(start);
        }
    }
    copy(out, children.rest());
}

#[cfg(test)]
mod tests {
    use super::super::{Element, written_length};
    use super::*;
    use proptest::prelude::*;

    fn sets() -> impl Strategy<Value = FieldSet> {
        let element = prop_oneof![
            3 => "f:[a-c]",
            1 => Just("k:{\"n\":1}".to_owned()),
            1 => "v:\"[a-b{}\\\\]{0,2}\"".prop_filter("JSON", |text| Element::is_valid(text)),
            1 => "f:[\"\\\\{}\u{1}é]{1,2}",
        ];
        let path = proptest::collection::vec(element, 1..4);
        proptest::collection::vec(path, 0..8).prop_map(|paths| {
            let mut set = FieldSet::default();
            paths.iter().for_each(|path| set.insert(path));
            set
        })
    }

    proptest! {
        /// Every operation on the stored form is that of the sets.
        #[test]
        fn stored_sets_are_sets(left in sets(), right in sets()) {
            let stored = FieldsV1::new(&left.to_fields_v1()).unwrap();
            let text = left.to_fields_v1().to_string();
            prop_assert_eq!(written_length(&text), Some(text.len()));
            prop_assert_eq!(&stored, &FieldsV1::written(text));
            prop_assert_eq!(&stored.to_set(), &left);
            let mut sum = stored.clone();
            sum.add(&right);
            prop_assert_eq!(sum, FieldsV1::from(left.union(&right)));
            let mut rest = stored.clone();
            rest.subtract(&right);
            prop_assert_eq!(rest, FieldsV1::from(left.difference(&right)));
            prop_assert_eq!(stored.touches(&right), !left.intersection(&right).is_empty());
            prop_assert_eq!(stored.contains(&right), right.difference(&left).is_empty());
            prop_assert_eq!(stored.is_within(&right), left.difference(&right).is_empty());
        }
    }
}

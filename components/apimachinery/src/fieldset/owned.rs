//! What a manager owns, in the form in which it is stored: sets are added and taken away without decoding it.
use super::{Element, FieldSet, Node};
use serde_json::{Map, Value};

/// The mark of a field that is in the set and has others below it.
const SELF: &str = ".";

/// FieldsV1: each element with what is below it; an empty map is a field without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldsV1(Map<String, Value>);

impl FieldsV1 {
    /// Takes a stored value. `None` when it isn't FieldsV1.
    pub fn new(fields: Value) -> Option<Self> {
        match (check(&fields)?, fields) {
            (true, Value::Object(map)) => Some(Self(map)),
            (_, fields) => FieldSet::from_fields_v1(&fields).map(Self::from),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// As a set of its own.
    pub fn to_set(&self) -> FieldSet {
        set_of(&self.0)
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
        is_within(&self.0, set)
    }

    pub fn add(&mut self, set: FieldSet) {
        add(&mut self.0, set);
    }

    /// Removes fields; what is below a removed field stays.
    pub fn subtract(&mut self, set: &FieldSet) {
        subtract(&mut self.0, set);
    }
}

impl From<FieldSet> for FieldsV1 {
    fn from(set: FieldSet) -> Self {
        Self(set.into_map())
    }
}

/// Whether it is written as we write it; `None` when it isn't FieldsV1.
fn check(fields: &Value) -> Option<bool> {
    let mut plain = true;
    let map = fields.as_object()?;
    for (key, value) in map {
        if key == SELF {
            plain &= map.len() > 1 && value.as_object().is_some_and(Map::is_empty);
        } else if !Element::is_valid(key) {
            return None;
        } else {
            plain &= check(value)?;
        }
    }
    Some(plain)
}

/// What is below an element, and whether it is a field itself.
fn below(value: &Value) -> Option<(&Map<String, Value>, bool)> {
    let map = value.as_object()?;
    Some((map, map.is_empty() || map.contains_key(SELF)))
}

fn set_of(map: &Map<String, Value>) -> FieldSet {
    let mut set = FieldSet::default();
    for (key, value) in map.iter().filter(|(key, _)| *key != SELF) {
        if let Some((map, member)) = below(value) {
            set.push(key.clone(), member, set_of(map));
        }
    }
    set
}

fn touches(map: &Map<String, Value>, set: &FieldSet) -> bool {
    set.nodes.iter().any(|node| {
        map.get(&node.element)
            .and_then(below)
            .is_some_and(|(map, member)| (member && node.member) || touches(map, &node.below))
    })
}

fn contains(map: &Map<String, Value>, set: &FieldSet) -> bool {
    set.nodes.iter().all(|node| {
        map.get(&node.element)
            .and_then(below)
            .is_some_and(|(map, member)| (member || !node.member) && contains(map, &node.below))
    })
}

fn is_within(map: &Map<String, Value>, set: &FieldSet) -> bool {
    map.iter().filter(|(key, _)| *key != SELF).all(|(key, value)| {
        let (Some((map, member)), Some(node)) = (below(value), set.get(key)) else {
            return false;
        };
        (node.member || !member) && is_within(map, &node.below)
    })
}

fn add(map: &mut Map<String, Value>, set: FieldSet) {
    for node in set.nodes {
        let Some(Value::Object(there)) = map.get_mut(&node.element) else {
            let Node { element, .. } = &node;
            let element = element.clone();
            map.extend(FieldSet { nodes: vec![node] }.into_map().remove_entry(&element));
            continue;
        };
        let member = node.member || there.is_empty() || there.contains_key(SELF);
        add(there, node.below);
        there.remove(SELF);
        if member && !there.is_empty() {
            there.insert(SELF.to_owned(), Value::Object(Map::new()));
        }
    }
}

fn subtract(map: &mut Map<String, Value>, set: &FieldSet) {
    for node in &set.nodes {
        let Some(Value::Object(there)) = map.get_mut(&node.element) else {
            continue;
        };
        let member = !node.member && (there.is_empty() || there.contains_key(SELF));
        there.remove(SELF);
        subtract(there, &node.below);
        match (there.is_empty(), member) {
            (true, false) => {
                map.remove(&node.element);
            }
            (false, true) => {
                there.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sets() -> impl Strategy<Value = FieldSet> {
        let path = proptest::collection::vec(prop_oneof!["f:[a-c]", Just("k:{\"n\":1}".to_owned())], 1..4);
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
            let stored = FieldsV1::new(left.to_fields_v1()).unwrap();
            prop_assert_eq!(&stored.to_set(), &left);
            let mut sum = stored.clone();
            sum.add(right.clone());
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

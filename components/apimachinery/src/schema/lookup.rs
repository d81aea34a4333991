//! Fields by name.
use super::{Field, Schema};
use std::cmp::Ordering;

/// The first eight bytes of each name, as numbers in the order of the names: most names are told apart by a comparison
/// of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prefixes(Vec<u64>);

impl Prefixes {
    pub(super) fn of(fields: &[Field]) -> Self {
        Self(fields.iter().map(|field| prefix(&field.name)).collect())
    }
}

/// Bytes of a name that a prefix holds.
const HELD: usize = size_of::<u64>();

fn prefix(name: &str) -> u64 {
    let bytes = name.as_bytes();
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    // Most names are short; two halves that overlap take a few instructions, a loop over the bytes takes fifty.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let more = 8 * (bytes.len() - size_of::<u32>());
        let rest = u64::from(u32::from_be_bytes(*last)) & ((1 << more) - 1);
        return u64::from(u32::from_be_bytes(*first)) << 32 | rest << (32 - more);
    }
    let bytes = bytes.iter().zip((0..u64::BITS - 7).rev().step_by(8));
    bytes.fold(0, |prefix, (byte, shift)| prefix | u64::from(*byte) << shift)
}

/// Compares with the name of a field whose prefix is the same.
fn compare(field: &Field, name: &str) -> Ordering {
    if name.len() <= HELD && field.name.len() == name.len() {
        return Ordering::Equal;
    }
    field.name.as_str().cmp(name)
}

/// Looks fields up by names that ascend, as those of a map do.
#[derive(Clone, Debug)]
pub struct Ascending<'a> {
    schema: &'a Schema,
    /// The first field whose name may not be before the next one asked for.
    at: usize,
}

impl<'a> Ascending<'a> {
    /// The field of that JSON name, which must not be before the last one asked for.
    pub fn field(&mut self, name: &str) -> Option<&'a Field> {
        let Schema { fields, prefixes, .. } = self.schema;
        if prefixes.0.len() != fields.len() {
            return self.schema.field(name);
        }
        let wanted = prefix(name);
        let rest = prefixes.0.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|prefix| **prefix < wanted).count();
        while prefixes.0.get(self.at) == Some(&wanted) {
            let field = fields.get(self.at)?;
            match compare(field, name) {
                Ordering::Less => self.at += 1,
                Ordering::Equal => return Some(field),
                Ordering::Greater => return None,
            }
        }
        None
    }
}

impl Schema {
    /// For looking up the fields of a whole map.
    pub fn ascending(&self) -> Ascending<'_> {
        Ascending { schema: self, at: 0 }
    }

    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let prefixes = &self.prefixes.0;
        if prefixes.len() != self.fields.len() {
            let found = self
                .fields
                .binary_search_by(|field| field.name.as_str().cmp(name));
            return found.ok().map(|index| &self.fields[index]);
        }
        let wanted = prefix(name);
        let first = prefixes.partition_point(|prefix| *prefix < wanted);
        let alike = prefixes[first..]
            .iter()
            .take_while(|prefix| **prefix == wanted)
            .count();
        self.fields[first..first + alike]
            .iter()
            .find(|field| compare(field, name).is_eq())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SchemaSet, Type};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn fields_are_found_by_name_in_a_set_and_outside_of_one() {
        let names = [
            "a",
            "lastProbeTime",
            "lastTransition",
            "lastTransitionTime",
            "name",
            "names",
        ];
        let field = |name: &&str| Field::new(name, Type::String);
        let alone = Schema {
            fields: names.iter().map(field).collect(),
            ..Schema::default()
        };
        let set = SchemaSet::new(vec![alone.clone()]);
        for schema in [&alone, set.get(0)] {
            for name in names {
                assert_eq!(schema.field(name).map(|field| field.name.as_str()), Some(name));
            }
            let mut ascending = schema.ascending();
            for name in [
                "",
                "a",
                "a",
                "b",
                "lastTransition",
                "lastTransitionTime",
                "lastTransitionTimes",
                "names",
                "z",
            ] {
                assert_eq!(ascending.field(name), schema.field(name), "{name}");
            }
            for name in ["", "b", "lastTran", "lastTransitionTimes", "namess", "z"] {
                assert!(schema.field(name).is_none(), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn names_that_ascend_are_found_as_others_are(declared in names(), asked in names()) {
            let schema = Schema { fields: declared.iter().map(|name| Field::new(name, Type::String)).collect(), ..Schema::default() };
            let set = SchemaSet::new(vec![schema]);
            let mut ascending = set.get(0).ascending();
            for name in &asked {
                let found = declared.contains(name).then_some(name.as_str());
                prop_assert_eq!(ascending.field(name).map(|field| field.name.as_str()), found);
                prop_assert_eq!(set.get(0).field(name).map(|field| field.name.as_str()), found);
            }
        }
    }

    /// Names of which many begin alike.
    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        proptest::collection::btree_set("[ab\u{0}é]{0,3}(abcdefgh)?[ab]{0,2}", 0..12)
    }
}

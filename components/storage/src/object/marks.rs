//! Which labels and fields an object may have, in two words, so that a list by selector passes by most objects without
//! looking at them.

use std::sync::LazyLock;

use ahash::RandomState;

use super::StoredObject;

/// Seeded once per process: nobody can choose labels that look like others.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A Bloom filter over an object's labels and fields: what isn't marked isn't there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks([u64; 2]);

impl Marks {
    /// Three bits for a label with its value.
    pub fn label(key: &str, value: &str) -> Self {
        Marks::bits(HASHER.hash_one((false, key, value)))
    }

    /// The same for a selectable field. An unset field has no mark.
    pub fn field(name: &str, value: &str) -> Self {
        if value.is_empty() {
            return Marks::default();
        }
        Marks::bits(HASHER.hash_one((true, name, value)))
    }

    /// All labels and set fields of an object; metadata.name and metadata.namespace are not among them.
    pub(crate) fn of(object: &StoredObject) -> Self {
        let labels = object.labels().map(|(key, value)| Marks::label(key, value));
        let fields = object.fields().map(|(name, value)| Marks::field(name, value));
        labels.chain(fields).fold(Marks::default(), Marks::and)
    }

    /// Everything that either has.
    pub fn and(self, other: Self) -> Self {
        Marks([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Whether everything in `wanted` may be there. It isn't if this says no.
    pub(crate) fn may_have(self, wanted: Self) -> bool {
        self.0[0] & wanted.0[0] == wanted.0[0] && self.0[1] & wanted.0[1] == wanted.0[1]
    }

    fn bits(hash: u64) -> Self {
        let mut marks = Marks::default();
        for shift in [0, 7, 14] {
            let bit = (hash >> shift) & 127;
            marks.0[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_denied_and_what_is_not_mostly_is() {
        let own: Vec<Marks> = (0..12)
            .map(|number| Marks::label("group", &number.to_string()))
            .collect();
        let all = own.iter().copied().fold(Marks::default(), Marks::and);
        assert!(own.iter().all(|mark| all.may_have(*mark)));
        assert!(all.may_have(Marks::default()));
        let wrong = (0..1000)
            .filter(|number| all.may_have(Marks::field("group", &format!("other-{number}"))))
            .count();
        // About 15 are expected; the seed is random.
        assert!(wrong < 100, "{wrong} of 1000 look as if they were there");
    }
}

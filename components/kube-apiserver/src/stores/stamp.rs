//! What a server writes after an object's JSON, so that it and those like it needn't look whether defaults are missing.
use std::hash::{DefaultHasher, Hash, Hasher};

const LENGTH: usize = 16;
/// All that JSON may have around it: upstream's decoder passes over it.
const WHITE: [u8; 4] = [b' ', b'\t', b'\n', b'\r'];

/// White space that stands for a writer: builds and settings that know the same defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u8; LENGTH]);

impl Stamp {
    /// Of a writer that is told by all that its defaults depend on.
    pub fn of(writer: impl Hash) -> Self {
        // Without random keys: the same build makes the same of it on every host.
        let mut hasher = DefaultHasher::new();
        writer.hash(&mut hasher);
        let mut rest = hasher.finish();
        Self(std::array::from_fn(|_| {
            let two_bits = rest & 3;
            rest >>= 2;
            WHITE[two_bits as usize]
        }))
    }

    pub fn put(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(&self.0);
    }

    pub fn is_on(&self, stored: &[u8]) -> bool {
        stored.ends_with(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_same_writer_wrote_has_its_stamp() {
        let stamp = Stamp::of(("commit", 5));
        let mut json = b"{}".to_vec();
        assert!(!stamp.is_on(&json));
        stamp.put(&mut json);
        assert!(stamp.is_on(&json));
        assert!(!Stamp::of(("commit", 6)).is_on(&json));
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&json).unwrap(),
            serde_json::json!({})
        );
    }
}

//! Decisions already made under the current rules.

use super::Decision;
use super::attributes::Attributes;
use parking_lot::RwLock;
use std::hash::{BuildHasher, RandomState};

/// Entries kept before starting over; bounds memory against callers that never repeat themselves.
const CAPACITY: usize = 8192;

/// Decisions by the hash of their question, valid for one generation of the rules.
#[derive(Default)]
pub struct DecisionCache {
    inner: RwLock<Generation>,
    hasher: RandomState,
    second_hasher: RandomState,
}

#[derive(Default)]
struct Generation {
    number: u64,
    decisions: ahash::AHashMap<u128, Decision>,
}

impl DecisionCache {
    pub fn get_or_decide(
        &self,
        generation: u64,
        question: &Attributes<'_>,
        decide: impl FnOnce() -> Decision,
    ) -> Decision {
        // Two independently keyed 64-bit hashes: a collision would grant somebody else's rights.
        let key = (u128::from(self.hasher.hash_one(question)) << 64)
            | u128::from(self.second_hasher.hash_one(question));
        {
            let inner = self.inner.read();
            if inner.number == generation
                && let Some(decision) = inner.decisions.get(&key)
            {
                return decision.clone();
            }
        }
        let decision = decide();
        let mut inner = self.inner.write();
        if inner.number != generation || inner.decisions.len() >= CAPACITY {
            if inner.number > generation {
                return decision;
            }
            inner.number = generation;
            inner.decisions.clear();
        }
        inner.decisions.insert(key, decision.clone());
        decision
    }
}

//! Groups and versions that peers are not asked about.

use apimachinery::GroupVersion;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a group and version is left out after its last definition is gone: a peer may still tell of it.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// Groups and versions of custom resources and aggregated servers. All servers read these from the same objects, so what a
/// peer tells of them is never newer, and may be of something that has been deleted.
#[derive(Debug, Default)]
pub struct Exclusions {
    defined: HashSet<GroupVersion>,
    gone: HashMap<GroupVersion, Instant>,
}

impl Exclusions {
    /// `defined` are all that are defined at `now`.
    pub fn define(&mut self, defined: HashSet<GroupVersion>, now: Instant) {
        let before = std::mem::replace(&mut self.defined, defined);
        let gone = before
            .into_iter()
            .filter(|version| !self.defined.contains(version));
        self.gone.extend(gone.map(|version| (version, now)));
        self.gone.retain(|version, since| {
            !self.defined.contains(version) && now.saturating_duration_since(*since) <= GRACE
        });
    }

    pub fn covers(&self, version: &GroupVersion, now: Instant) -> bool {
        let gone = self.gone.get(version);
        self.defined.contains(version)
            || gone.is_some_and(|since| now.saturating_duration_since(*since) <= GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_stays_out_for_a_while() {
        let start = Instant::now();
        let version = GroupVersion::new("stable.example.com", "v1");
        let mut exclusions = Exclusions::default();
        assert!(!exclusions.covers(&version, start));
        exclusions.define([version.clone()].into(), start);
        assert!(exclusions.covers(&version, start + GRACE * 3));
        let end = start + GRACE * 3;
        exclusions.define(HashSet::new(), end);
        assert!(exclusions.covers(&version, end + GRACE));
        assert!(!exclusions.covers(&version, end + GRACE + Duration::from_secs(1)));
        exclusions.define([version.clone()].into(), end + GRACE * 2);
        assert!(exclusions.covers(&version, end + GRACE * 9));
    }
}

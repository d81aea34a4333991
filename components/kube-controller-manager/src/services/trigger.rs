//! When the change happened that an endpoint object answers to.

use ahash::AHashMap;
use client::informer::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use parking_lot::Mutex;

use crate::owner::Meta as _;
use crate::workload::pods;

#[derive(Default)]
struct Seen {
    service: Option<Timestamp>,
    pods: AHashMap<String, State>,
}

/// Times are in seconds, and a pod may be made and become ready within one: what else has changed counts too.
#[derive(Clone, PartialEq, Eq)]
struct State {
    at: Timestamp,
    ready: bool,
    terminating: bool,
    address: Option<String>,
}

/// Remembers per service what has been answered already.
#[derive(Default)]
pub struct Triggers {
    seen: Mutex<AHashMap<Key, Seen>>,
}

impl Triggers {
    /// The oldest change that has not been answered yet; none when nothing is new.
    pub fn next<'a>(
        &self,
        key: &Key,
        service: &Service,
        behind: impl IntoIterator<Item = &'a Pod>,
    ) -> Option<Timestamp> {
        let mut all = self.seen.lock();
        let known = all.contains_key(key);
        let seen = all.entry(key.clone()).or_default();
        let mut oldest: Option<Timestamp> = None;
        let mut consider = |time: Timestamp| oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
        let mut current = AHashMap::new();
        for pod in behind {
            let Some(at) = changed_at(pod) else { continue };
            let state = State {
                at,
                ready: pods::is_ready(pod),
                terminating: pod.is_deleting(),
                address: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
            };
            if known && seen.pods.get(pod.name()).is_none_or(|before| *before != state) {
                consider(at);
            }
            current.insert(pod.name().to_owned(), state);
        }
        // A service that is seen for the first time may be as old as the cluster: only its own making counts.
        let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if let Some(created) = created
            && seen.service.is_none_or(|before| created > before)
        {
            consider(created);
        }
        seen.service = created;
        seen.pods = current;
        oldest
    }

    pub fn forget(&self, key: &Key) {
        self.seen.lock().remove(key);
    }
}

fn changed_at(pod: &Pod) -> Option<Timestamp> {
    pods::condition(pod, "Ready")
        .and_then(|condition| condition.last_transition_time.as_ref())
        .or(pod.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
}

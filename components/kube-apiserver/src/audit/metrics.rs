//! What is counted of the audit log.

use super::policy::Level;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLevel {
    level: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPlugin {
    plugin: &'static str,
}

/// Events that a backend, or what stands before it, could not take.
#[derive(Clone, Debug, Default)]
pub struct Losses(Family<OfPlugin, Counter>);

impl Losses {
    #[cfg(test)]
    pub fn of(&self, plugin: &'static str) -> u64 {
        self.0.get_or_create(&OfPlugin { plugin }).get()
    }

    pub fn add(&self, plugin: &'static str, events: u64) {
        self.0.get_or_create(&OfPlugin { plugin }).inc_by(events);
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Counts {
    pub events: Counter,
    /// Requests that were refused since their first event could not be written.
    pub rejected: Counter,
    pub losses: Losses,
    levels: Family<OfLevel, Counter>,
}

impl Counts {
    /// Counts a request at the level that the policy has for it.
    pub fn level(&self, level: Level) {
        self.levels.get_or_create(&OfLevel { level: level.name() }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("apiserver_audit_event", "Audit events", self.events.clone());
        registry.register(
            "apiserver_audit_requests_rejected",
            "Requests refused because their audit event could not be written",
            self.rejected.clone(),
        );
        registry.register(
            "apiserver_audit_level",
            "Requests by the audit level that the policy has for them",
            self.levels.clone(),
        );
        registry.register(
            "apiserver_audit_error",
            "Audit events that were lost, by backend",
            self.losses.0.clone(),
        );
    }
}

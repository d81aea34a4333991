//! What each authorizer decided, under upstream's name. The group that everything is allowed to is not asked about.

use super::webhook::WebhookAuthorizer;
use super::{Decision, Mode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    r#type: &'static str,
    name: String,
    decision: &'static str,
}

/// Decisions of the modes that every request meets, looked up once; and of webhooks.
pub struct Decisions {
    family: Family<Labels, Counter>,
    node: Counter,
    rbac: Counter,
    abac: Counter,
    all: Counter,
}

impl Default for Decisions {
    fn default() -> Self {
        let family = Family::<Labels, Counter>::default();
        let allowed = |r#type: &'static str| {
            family.get_or_create_owned(&Labels {
                r#type,
                name: r#type.to_lowercase(),
                decision: "allowed",
            })
        };
        Self {
            node: allowed("Node"),
            rbac: allowed("RBAC"),
            abac: allowed("ABAC"),
            all: allowed("AlwaysAllow"),
            family,
        }
    }
}

impl Decisions {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_authorization_decisions",
            "Decisions by authorizer",
            self.family.clone(),
        );
    }

    /// None of the modes refuses: where one has no opinion the next is asked.
    pub fn of_mode(&self, mode: Mode, decision: &Decision) {
        if !decision.allowed() {
            return;
        }
        match mode {
            Mode::Node => self.node.inc(),
            Mode::Rbac => self.rbac.inc(),
            Mode::AlwaysAllow => self.all.inc(),
            Mode::AlwaysDeny => 0,
        };
    }

    /// Policies refuse nothing either.
    pub fn of_policies(&self, decision: &Decision) {
        if decision.allowed() {
            self.abac.inc();
        }
    }

    pub fn of_webhook(&self, webhook: &WebhookAuthorizer, decision: &Decision) {
        let labels = Labels {
            r#type: "Webhook",
            name: webhook.name().to_owned(),
            decision: if decision.allowed() { "allowed" } else { "denied" },
        };
        self.family.get_or_create(&labels).inc();
    }
}

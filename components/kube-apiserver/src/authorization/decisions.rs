//! What each authorizer decided, under upstream's name. The group that everything is allowed to is not asked about.

use super::webhook::WebhookAuthorizer;
use super::{Decision, Member, Named};
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

/// Decisions of all authorizers.
#[derive(Default)]
pub struct Decisions {
    family: Family<Labels, Counter>,
}

impl Decisions {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_authorization_decisions",
            "Decisions by authorizer",
            self.family.clone(),
        );
    }

    /// The chain with what each request counts, looked up once.
    pub(super) fn members(&self, chain: Vec<Named>) -> Vec<Member> {
        let member = |Named { name, link }| Member {
            allowed: self.family.get_or_create_owned(&Labels {
                r#type: link.kind().name(),
                name,
                decision: "allowed",
            }),
            link,
        };
        chain.into_iter().map(member).collect()
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

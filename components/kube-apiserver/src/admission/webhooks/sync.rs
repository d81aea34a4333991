//! Keeps the webhooks compiled while their configurations change.

use super::hook::{self, Hook};
use crate::server::Server;
use crate::sync::{Parsed, SETTLE, loaded};
use serde_json::Value;
use std::sync::Arc;

/// All webhooks, in the order in which they are asked.
#[derive(Default)]
pub struct Webhooks {
    pub mutating: Vec<Arc<Hook>>,
    pub validating: Vec<Arc<Hook>>,
}

/// Compiles all webhooks whenever a configuration changes. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let named = |plural: &str| {
        server
            .stores
            .named("admissionregistration.k8s.io", plural)
            .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    let mut mutating = Parsed::<Value>::new(named("mutatingwebhookconfigurations")?);
    let mut validating = Parsed::<Value>::new(named("validatingwebhookconfigurations")?);
    let mut changes = [mutating.changes(), validating.changes()];
    loaded([mutating.store(), validating.store()]).await;
    loop {
        for change in &mut changes {
            change.mark_unchanged();
        }
        let configuration = &server.admission.configuration;
        let compile = |configurations: &[Arc<Value>], identities| {
            hook::compile(configurations, &server.webhooks, identities)
        };
        server.admission.webhooks.replace(Webhooks {
            mutating: compile(&mutating.snapshot(), &configuration.mutating),
            validating: compile(&validating.snapshot(), &configuration.validating),
        });
        let [first, second] = &mut changes;
        tokio::select! {
            changed = first.changed() => changed?,
            changed = second.changed() => changed?,
        }
        tokio::time::sleep(SETTLE).await;
    }
}

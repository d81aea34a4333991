//! Keeps the webhooks compiled while their configurations change.

use super::hook::{self, Hook};
use crate::admission::enforced::{Enforced, Settings, Snapshot};
use crate::server::Server;
use crate::sync::{SETTLE, loaded};
use crate::webhook::Identities;
use std::sync::Arc;

/// All webhooks, in the order in which they are asked.
#[derive(Default)]
pub struct Webhooks {
    pub mutating: Enforced<Hook>,
    pub validating: Enforced<Hook>,
}

/// Compiles all webhooks whenever a configuration changes. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let named = |plural: &str| {
        Settings::new(&server.stores, plural).ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    let mut mutating = named("mutatingwebhookconfigurations")?;
    let mut validating = named("validatingwebhookconfigurations")?;
    let mut changes = [mutating.changes(), validating.changes()];
    loaded([mutating.store(), validating.store()]).await;
    loop {
        for change in &mut changes {
            change.mark_unchanged();
        }
        let configuration = &server.admission.configuration;
        let compile = |configurations: Snapshot, identities: &Identities| {
            let hooks = hook::compile(&configurations.objects, &server.webhooks, identities);
            Enforced::new(hooks, configurations.unread)
        };
        server.admission.webhooks.replace(Webhooks {
            mutating: compile(mutating.snapshot(), &configuration.mutating),
            validating: compile(validating.snapshot(), &configuration.validating),
        });
        let [first, second] = &mut changes;
        tokio::select! {
            changed = first.changed() => changed?,
            changed = second.changed() => changed?,
        }
        tokio::time::sleep(SETTLE).await;
    }
}

//! Keeps the policies compiled while they and their bindings change.

use super::policy::{MutatingPolicy, ValidatingPolicy};
use crate::server::Server;
use crate::sync::{Parsed, SETTLE, loaded};
use apimachinery::meta;
use serde_json::Value;
use std::sync::Arc;

/// All policies, by name.
#[derive(Default)]
pub struct Policies {
    pub mutating: Vec<MutatingPolicy>,
    pub validating: Vec<ValidatingPolicy>,
}

/// Compiles all policies whenever one or a binding changes. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let watched = |plural: &str| {
        server
            .stores
            .named("admissionregistration.k8s.io", plural)
            .map(Parsed::<Value>::new)
            .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    let mut kinds = [
        watched("mutatingadmissionpolicies")?,
        watched("mutatingadmissionpolicybindings")?,
        watched("validatingadmissionpolicies")?,
        watched("validatingadmissionpolicybindings")?,
    ];
    let mut changes = kinds.each_ref().map(Parsed::changes);
    loaded(kinds.iter().map(Parsed::store)).await;
    loop {
        for change in &mut changes {
            change.mark_unchanged();
        }
        let [mutating, mutating_bindings, validating, validating_bindings] =
            kinds.each_mut().map(|kind| sorted(kind.snapshot()));
        server.admission.policies.replace(Policies {
            mutating: mutating
                .iter()
                .map(|policy| MutatingPolicy::compile(policy, &mutating_bindings))
                .filter(|policy| !policy.policy.bindings.is_empty())
                .collect(),
            validating: validating
                .iter()
                .map(|policy| ValidatingPolicy::compile(policy, &validating_bindings))
                .filter(|policy| !policy.policy.bindings.is_empty())
                .collect(),
        });
        let waits = changes.iter_mut().map(|change| Box::pin(change.changed()));
        let (outcome, _, _) = futures::future::select_all(waits).await;
        outcome?;
        tokio::time::sleep(SETTLE).await;
    }
}

fn sorted(mut objects: Vec<Arc<Value>>) -> Vec<Arc<Value>> {
    objects.sort_by(|a, b| meta::name(a).cmp(meta::name(b)));
    objects
}

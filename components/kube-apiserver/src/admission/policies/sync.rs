//! Keeps the policies compiled while they and their bindings change.

use super::policy::{MutatingPolicy, ValidatingPolicy};
use crate::admission::enforced::{Enforced, Settings, Snapshot};
use crate::server::Server;
use crate::sync::{SETTLE, loaded};
use ahash::AHashMap;
use apimachinery::meta;
use serde_json::Value;
use std::sync::Arc;

/// All policies, by name.
#[derive(Default)]
pub struct Policies {
    pub mutating: Enforced<MutatingPolicy>,
    pub validating: Enforced<ValidatingPolicy>,
}

/// Compiled policies of one kind, each with the objects that it was compiled from.
struct Kept<P> {
    compiled: AHashMap<String, (Arc<Value>, Vec<Arc<Value>>, Arc<P>)>,
}

impl<P> Kept<P> {
    fn new() -> Self {
        Self {
            compiled: AHashMap::new(),
        }
    }

    /// The policies that are bound, in their order; only those that changed, or whose bindings did, are compiled.
    fn update(
        &mut self,
        policies: &[Arc<Value>],
        bindings: &[Arc<Value>],
        compile: impl Fn(&Value, &[Arc<Value>]) -> P,
    ) -> Vec<Arc<P>> {
        let mut known = std::mem::take(&mut self.compiled);
        let mut all = Vec::new();
        for object in policies {
            let name = meta::name(object);
            let own: Vec<Arc<Value>> = bindings
                .iter()
                .filter(|binding| binding["spec"]["policyName"].as_str() == Some(name))
                .cloned()
                .collect();
            if own.is_empty() {
                continue;
            }
            // An unchanged object is the same allocation.
            let same = |(former, with, _): &(Arc<Value>, Vec<Arc<Value>>, Arc<P>)| {
                Arc::ptr_eq(former, object)
                    && with.len() == own.len()
                    && with.iter().zip(&own).all(|(a, b)| Arc::ptr_eq(a, b))
            };
            let policy = match known.remove(name).filter(same) {
                Some((.., policy)) => policy,
                None => Arc::new(compile(object, &own)),
            };
            all.push(Arc::clone(&policy));
            self.compiled
                .insert(name.to_owned(), (Arc::clone(object), own, policy));
        }
        all
    }
}

/// Compiles policies as they or their bindings change. Never ends. A kind that is not served has no objects: the version that is
/// emulated may not have it.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let watched = |plural: &str, on: bool| Settings::new(&server.stores, plural).filter(|_| on);
    let mutates = server.has_feature("MutatingAdmissionPolicy");
    let mut kinds = [
        watched("mutatingadmissionpolicies", mutates),
        watched("mutatingadmissionpolicybindings", mutates),
        watched("validatingadmissionpolicies", true),
        watched("validatingadmissionpolicybindings", true),
    ];
    let mut changes: Vec<_> = kinds.iter().flatten().map(Settings::changes).collect();
    let (mut mutated, mut validated) = (Kept::new(), Kept::new());
    loaded(kinds.iter().flatten().map(Settings::store)).await;
    loop {
        for change in &mut changes {
            change.mark_unchanged();
        }
        let [mutating, mutating_bindings, validating, validating_bindings] =
            kinds.each_mut().map(|kind| kind.as_mut().map(Settings::snapshot));
        server.admission.policies.replace(Policies {
            mutating: enforced(mutating, mutating_bindings, |policies, bindings| {
                mutated.update(policies, bindings, MutatingPolicy::compile)
            }),
            validating: enforced(validating, validating_bindings, |policies, bindings| {
                validated.update(policies, bindings, ValidatingPolicy::compile)
            }),
        });
        if changes.is_empty() {
            return std::future::pending().await;
        }
        let waits = changes.iter_mut().map(|change| Box::pin(change.changed()));
        let (outcome, _, _) = futures::future::select_all(waits).await;
        outcome?;
        tokio::time::sleep(SETTLE).await;
    }
}

fn enforced<P>(
    policies: Option<Snapshot>,
    bindings: Option<Snapshot>,
    update: impl FnOnce(&[Arc<Value>], &[Arc<Value>]) -> Vec<Arc<P>>,
) -> Enforced<P> {
    let (Some(policies), Some(bindings)) = (policies, bindings) else {
        return Enforced::default();
    };
    let all = update(&policies.objects, &bindings.objects);
    Enforced::new(all, policies.unread.or(bindings.unread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    #[test]
    fn only_what_changed_is_compiled() {
        let object = |name: &str| Arc::new(json!({ "metadata": { "name": name } }));
        let bound = |policy: &str| Arc::new(json!({ "spec": { "policyName": policy } }));
        let (a, b, loose) = (object("a"), object("b"), object("loose"));
        let (to_a, to_b) = (bound("a"), bound("b"));
        let compiled = Cell::new(0);
        let mut kept = Kept::new();
        let mut update = |policies: &[Arc<Value>], bindings: &[Arc<Value>]| {
            compiled.set(0);
            let all = kept.update(policies, bindings, |object, own| {
                compiled.set(compiled.get() + 1);
                (meta::name(object).to_owned(), own.len())
            });
            let all: Vec<_> = all.iter().map(|policy| (**policy).clone()).collect();
            (all, compiled.get())
        };
        let policies = [a.clone(), b.clone(), loose.clone()];
        let bindings = [to_a.clone(), to_b.clone()];
        let both = vec![("a".to_owned(), 1), ("b".to_owned(), 1)];
        assert_eq!(update(&policies, &bindings), (both.clone(), 2));
        assert_eq!(update(&policies, &bindings), (both.clone(), 0));
        assert_eq!(update(&[a.clone(), object("b"), loose], &bindings), (both, 1));
        let more = [to_a.clone(), bound("a"), to_b];
        let (all, compiled) = update(&[a.clone(), b], &more);
        assert_eq!((all[0].1, compiled), (2, 2), "b is another object than before");
        assert_eq!(update(&[a], &[]), (Vec::new(), 0));
    }
}

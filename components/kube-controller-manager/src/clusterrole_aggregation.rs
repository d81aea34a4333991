//! Cluster roles that are the sum of others, chosen by label.

use std::sync::Arc;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::error::Result;
use crate::owner::Meta as _;
use crate::runtime::{Context, work};
use crate::selector::Selector;

const ACCOUNT: &str = "clusterrole-aggregation-controller";

struct Controller {
    roles: Informer<ClusterRole>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        roles: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.roles) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let (this, keys) = (controller.clone(), queue.clone());
        controller.roles.on_change(move |_: &Change<ClusterRole>| {
            // Any role may be part of any sum.
            let sums = this.roles.list();
            let sums = sums.iter().filter(|role| role.aggregation_rule.is_some());
            sums.for_each(|role| keys.add(key_of(role.as_ref())));
        });
        work(
            "clusterrole-aggregation",
            &context,
            queue,
            5,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

/// The rules of all selected roles, by the roles' names, each once.
fn sum(role: &ClusterRole, roles: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let mut sorted = roles.to_vec();
    sorted.sort_by(|a, b| a.name().cmp(b.name()));
    let mut rules: Vec<PolicyRule> = Vec::new();
    let selectors = role
        .aggregation_rule
        .as_ref()
        .and_then(|rule| rule.cluster_role_selectors.as_deref())
        .unwrap_or_default();
    for selector in selectors
        .iter()
        .filter_map(|selector| Selector::new(selector).ok())
    {
        for other in sorted
            .iter()
            .filter(|other| other.name() != role.name() && selector.matches(other.metadata.labels.as_ref()))
        {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(role) = self
            .roles
            .get("", name)
            .filter(|role| role.aggregation_rule.is_some())
        else {
            return Ok(Requeue::No);
        };
        let rules = sum(&role, &self.roles.list());
        if role.rules.as_deref().unwrap_or_default() != rules {
            let mut updated = role.as_ref().clone();
            updated.rules = Some(rules);
            let api: Api<ClusterRole> = Api::all(self.client.clone());
            api.replace(name, &PostParams::default(), &updated).await?;
        }
        Ok(Requeue::No)
    }
}

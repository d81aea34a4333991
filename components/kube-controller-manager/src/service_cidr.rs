//! Ranges of service addresses: ready while they may be used, and kept while somebody has an address of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::error::{Result, ignore_not_found, is_conflict};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "service-cidrs-controller";
const MANAGER: &str = "service-cidr-controller";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";

/// API servers may take addresses until they have seen that the range is going.
const GRACE: Duration = Duration::from_secs(10);

const READY: &str = "Kubernetes Service CIDR is ready";
const IN_USE: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

struct Controller {
    ranges: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        ranges: context.informer(),
        addresses: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.ranges, controller.addresses) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let (this, keys) = (controller.clone(), queue.clone());
        controller.ranges.on_change(move |change: &Change<ServiceCIDR>| {
            keys.add(key_of(change.object().as_ref()));
            // One that came or went may be what another waits for.
            this.going().for_each(|key| keys.add(key));
        });
        let (this, keys) = (controller.clone(), queue.clone());
        controller.addresses.on_change(move |change: &Change<IPAddress>| {
            if change.new.is_none() {
                this.going().for_each(|key| keys.add(key));
            }
        });
        work(
            "service-cidr",
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

fn nets(range: &ServiceCIDR) -> Vec<IpNet> {
    let spec = range.spec.as_ref();
    let cidrs = spec.and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect()
}

/// Whether an address would be in no range any more: those of `others` that stay are at hand.
fn needed(range: &ServiceCIDR, others: &[Arc<ServiceCIDR>], addresses: &[IpAddr]) -> bool {
    let staying: Vec<IpNet> = others
        .iter()
        .filter(|other| other.name() != range.name() && !other.is_deleting())
        .flat_map(|other| nets(other))
        .collect();
    nets(range)
        .iter()
        .filter(|net| !staying.iter().any(|other| other.contains(*net)))
        .any(|net| {
            addresses
                .iter()
                .any(|address| net.contains(address) && !staying.iter().any(|other| other.contains(address)))
        })
}

/// The condition that a range has, if it isn't that already.
fn condition(range: &ServiceCIDR, status: &str, reason: &str, message: &str) -> Option<Value> {
    let known = range
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .any(|condition| {
            condition.type_ == "Ready" && condition.status == status && condition.reason == reason
        });
    (!known).then(|| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": range.name()},
            "status": {"conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            }]},
        })
    })
}

fn is_held(range: &ServiceCIDR) -> bool {
    let finalizers = range.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
}

impl Controller {
    /// The ranges that somebody deleted and that are still there.
    fn going(&self) -> impl Iterator<Item = Key> + use<> {
        self.ranges
            .list()
            .into_iter()
            .filter(|range| range.is_deleting())
            .map(|range| key_of(range.as_ref()))
    }

    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(range) = self.ranges.get("", name) else {
            return Ok(Requeue::No);
        };
        if !range.is_deleting() {
            if !is_held(&range) {
                self.hold(&range, true).await?;
                return Ok(Requeue::No);
            }
            self.tell(&range, condition(&range, "True", "", READY)).await?;
            return Ok(Requeue::No);
        }
        if !is_held(&range) {
            return Ok(Requeue::No);
        }
        let addresses: Vec<IpAddr> = self
            .addresses
            .list()
            .iter()
            .filter(|address| address.label(MANAGED_BY) == Some(ALLOCATOR))
            .filter_map(|address| address.name().parse().ok())
            .collect();
        if needed(&range, &self.ranges.list(), &addresses) {
            self.tell(&range, condition(&range, "False", "Terminating", IN_USE))
                .await?;
            return Ok(Requeue::No);
        }
        let since = range
            .metadata
            .deletion_timestamp
            .as_ref()
            .map(|time| Timestamp::now().as_second() - time.0.as_second())
            .unwrap_or_default();
        let left = GRACE.as_secs().saturating_sub(u64::try_from(since).unwrap_or(0));
        if left > 0 {
            return Ok(Requeue::After(Duration::from_secs(left)));
        }
        self.hold(&range, false).await?;
        Ok(Requeue::No)
    }

    async fn tell(&self, range: &ServiceCIDR, written: Option<Value>) -> Result<()> {
        let Some(written) = written else { return Ok(()) };
        let api: Api<ServiceCIDR> = Api::all(self.client.clone());
        let params = PatchParams::apply(MANAGER).force();
        ignore_not_found(
            api.patch_status(range.name(), &params, &Patch::Apply(&written))
                .await,
        )
    }

    /// Puts the finalizer in or takes it out.
    async fn hold(&self, range: &ServiceCIDR, wanted: bool) -> Result<()> {
        let mut updated = range.clone();
        let finalizers = updated.metadata.finalizers.get_or_insert_default();
        finalizers.retain(|own| own != FINALIZER);
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        }
        let api: Api<ServiceCIDR> = Api::all(self.client.clone());
        match api.replace(range.name(), &PostParams::default(), &updated).await {
            // What changed is seen, and tells us again.
            Err(error) if is_conflict(&error) => Ok(()),
            outcome => ignore_not_found(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(name: &str, cidrs: &[&str], deleting: bool) -> ServiceCIDR {
        let mut value = json!({"metadata": {"name": name}, "spec": {"cidrs": cidrs}});
        if deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_range_is_needed_while_an_address_is_in_no_other() {
        let own = range("own", &["10.64.0.0/24"], true);
        let inside: Vec<IpAddr> = vec!["10.64.0.7".parse().unwrap()];
        let outside: Vec<IpAddr> = vec!["10.65.0.7".parse().unwrap()];
        for (others, addresses, wanted) in [
            (vec![], &inside, true),
            (vec![], &outside, false),
            (vec![range("wide", &["10.64.0.0/16"], false)], &inside, false),
            (vec![range("wide", &["10.64.0.0/16"], true)], &inside, true),
            (vec![range("part", &["10.64.0.0/28"], false)], &inside, false),
            (vec![range("part", &["10.64.0.128/28"], false)], &inside, true),
        ] {
            let mut all: Vec<Arc<ServiceCIDR>> = others.into_iter().map(Arc::new).collect();
            all.push(Arc::new(own.clone()));
            assert_eq!(needed(&own, &all, addresses), wanted, "{all:?}");
        }
    }

    #[test]
    fn a_condition_is_written_once() {
        let mut own = range("own", &["10.64.0.0/24"], false);
        let written = condition(&own, "True", "", READY).unwrap();
        own.status = serde_json::from_value(written["status"].clone()).ok();
        assert_eq!(condition(&own, "True", "", READY), None);
        assert!(condition(&own, "False", "Terminating", IN_USE).is_some());
    }
}

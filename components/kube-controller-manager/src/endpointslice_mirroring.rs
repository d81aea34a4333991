//! Mirrors Endpoints that users write for services without a selector into EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::endpoints::{MANAGED_BY as ENDPOINTS_MANAGED_BY, MANAGER as ENDPOINTS_MANAGER};
use crate::endpointslice::plan::{PortKey, Writes, plan};
use crate::endpointslice::written::Written;
use crate::endpointslice::{MANAGED_BY, SERVICE_NAME};
use crate::error::{Result, ignore_not_found, is_namespace_terminating};
use crate::owner::{Meta as _, controller_reference};
use crate::runtime::{Context, work};
use crate::selector::Labels;

const ACCOUNT: &str = "endpointslicemirroring-controller";
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const INDEX: &str = "mirrored";
const CATCH_UP: Duration = Duration::from_millis(200);
/// As the endpoint slice controller has it.
const PER_SLICE: usize = 1000;

struct Controller {
    endpoints: Informer<Endpoints>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    client: Client,
    written: Written,
    max: usize,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        endpoints: context.informer(),
        services: context.informer(),
        slices: context.informer(),
        client: context.client(ACCOUNT),
        written: Written::default(),
        max: context.flags.mirroring_max_endpoints_per_subset,
    });
    controller.slices.add_index(INDEX, |slice: &EndpointSlice| {
        let ours = slice
            .label(SERVICE_NAME)
            .filter(|_| slice.label(MANAGED_BY) == Some(MANAGER));
        ours.map(|name| format!("{}/{name}", slice.namespace()))
            .into_iter()
            .collect()
    });
    async move {
        if !crate::synced!(controller.endpoints, controller.services, controller.slices) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .endpoints
            .on_change(move |change: &Change<Endpoints>| keys.add(key_of(change.object().as_ref())));
        let keys = queue.clone();
        controller
            .services
            .on_change(move |change: &Change<Service>| keys.add(key_of(change.object().as_ref())));
        let (this, keys) = (controller.clone(), queue.clone());
        controller
            .slices
            .on_change(move |change: &Change<EndpointSlice>| {
                let slice = change.object();
                if let (Some(service), Some(MANAGER)) = (slice.label(SERVICE_NAME), slice.label(MANAGED_BY)) {
                    let key = (slice.namespace().to_owned(), service.to_owned());
                    if change.new.is_none() {
                        this.written.forget_slice(&key, slice.name());
                    }
                    keys.add(key);
                }
            });
        let workers = context.flags.mirroring_concurrent_service_endpoint_syncs;
        work(
            "endpointslice-mirroring",
            &context,
            queue,
            workers,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// Whether the object is a user's own, and not a controller's or an election's.
fn is_mirrored(endpoints: &Endpoints) -> bool {
    endpoints.label(SKIP) != Some("true")
        && endpoints.annotation(LEADER).is_none()
        && endpoints.label(ENDPOINTS_MANAGED_BY) != Some(ENDPOINTS_MANAGER)
}

fn has_selector(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref())
        .is_some_and(|selector| !selector.is_empty())
}

/// What the slices of one address type are to contain, at most `max` addresses of each subset.
fn desired(endpoints: &Endpoints, ipv6: bool, max: usize) -> BTreeMap<PortKey, Vec<Endpoint>> {
    let mut by_ports: BTreeMap<PortKey, Vec<Endpoint>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
            app_protocol: port.app_protocol.clone(),
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(port.port),
            protocol: port.protocol.clone(),
        });
        let ready = subset
            .addresses
            .iter()
            .flatten()
            .map(|address| endpoint(address, true));
        let not_ready = subset
            .not_ready_addresses
            .iter()
            .flatten()
            .map(|address| endpoint(address, false));
        let own = ready.chain(not_ready).take(max).filter(|endpoint| {
            let address = endpoint
                .addresses
                .first()
                .and_then(|text| text.parse::<IpAddr>().ok());
            address.is_some_and(|address| address.is_ipv6() == ipv6)
        });
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            by_ports.entry(PortKey::new(ports)).or_default().extend(own);
        }
    }
    by_ports
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

impl Controller {
    fn api(&self, namespace: &str) -> Api<EndpointSlice> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        if !self.written.is_seen(key, |name| self.slices.get(&key.0, name)) {
            return Ok(Requeue::After(CATCH_UP));
        }
        let mut existing = self.slices.by_index(INDEX, &format!("{}/{}", key.0, key.1));
        existing.retain(|slice| !slice.is_deleting());
        let endpoints = self
            .endpoints
            .get(&key.0, &key.1)
            .filter(|endpoints| is_mirrored(endpoints) && !endpoints.is_deleting());
        let service = self
            .services
            .get(&key.0, &key.1)
            .filter(|service| !has_selector(service));
        let (Some(endpoints), Some(_)) = (endpoints, service) else {
            for slice in existing {
                self.delete(key, &slice).await?;
            }
            return Ok(Requeue::No);
        };
        for (address_type, ipv6) in [("IPv4", false), ("IPv6", true)] {
            let own: Vec<_> = existing
                .iter()
                .filter(|slice| slice.address_type == address_type)
                .cloned()
                .collect();
            let desired = desired(&endpoints, ipv6, self.max);
            if desired.is_empty() {
                for slice in own {
                    self.delete(key, &slice).await?;
                }
                continue;
            }
            self.write(key, &endpoints, address_type, plan(&own, desired, PER_SLICE))
                .await?;
        }
        Ok(Requeue::No)
    }

    async fn write(
        &self,
        key: &Key,
        endpoints: &Endpoints,
        address_type: &str,
        writes: Writes,
    ) -> Result<()> {
        let meta = metadata(endpoints);
        for slice in writes.delete {
            self.delete(key, &slice).await?;
        }
        for (ports, list) in writes.create {
            let slice = EndpointSlice {
                address_type: address_type.to_owned(),
                endpoints: Some(list),
                ports: Some(ports.ports()),
                metadata: meta.clone(),
            };
            match self.api(&key.0).create(&PostParams::default(), &slice).await {
                Ok(created) => self.written.wrote(key, &created),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let changed = |slice: &&Arc<EndpointSlice>| {
            slice.metadata.labels != meta.labels
                || slice.metadata.annotations.clone().unwrap_or_default()
                    != meta.annotations.clone().unwrap_or_default()
        };
        let kept: Vec<_> = writes
            .keep
            .iter()
            .filter(changed)
            .map(|slice| slice.as_ref().clone())
            .collect();
        for mut slice in kept.into_iter().chain(writes.update) {
            slice.metadata.labels = meta.labels.clone();
            slice.metadata.annotations = meta.annotations.clone();
            let updated = self
                .api(&key.0)
                .replace(slice.name(), &PostParams::default(), &slice)
                .await?;
            self.written.wrote(key, &updated);
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, slice: &EndpointSlice) -> Result<()> {
        ignore_not_found(
            self.api(&key.0)
                .delete(slice.name(), &DeleteParams::default())
                .await,
        )?;
        self.written.deleted(key, slice);
        Ok(())
    }
}

fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let mut labels: Labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), endpoints.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    ObjectMeta {
        generate_name: Some(format!("{}-", endpoints.name())),
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![controller_reference(endpoints)]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn subsets_become_slices_by_family_and_ports() {
        let endpoints: Endpoints = serde_json::from_value(json!({"metadata": {"name": "e"}, "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]},
            {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 81}]}]}))
        .unwrap();
        assert!(is_mirrored(&endpoints));
        let four = desired(&endpoints, false, 1000);
        assert_eq!(four.values().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(desired(&endpoints, true, 1000).len(), 1);
        assert_eq!(
            desired(&endpoints, false, 1)
                .values()
                .map(Vec::len)
                .sum::<usize>(),
            2
        );
    }
}

//! The `kubernetes` service and its endpoints: all API servers that are alive.

mod master_count;

use super::{objects, server_lease, service_range};
use crate::beat;
use crate::server::Server;
use crate::services::addresses;
use crate::stores;
use apimachinery::{meta, time};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
const SLICE_LABEL: &str = "kubernetes.io/service-name";

/// Keeps everything right until the server drains, then takes itself out.
pub async fn run(server: Arc<Server>) {
    let mut told = false;
    loop {
        service_range::compare(&server, &mut told).await;
        if let Err(error) = round(&server, false).await {
            tracing::warn!(%error, "the kubernetes service could not be reconciled");
        }
        if let Err(error) = objects::keep_present(&server).await {
            tracing::warn!(%error, "objects that every cluster has could not be made again");
        }
        tokio::select! {
            () = beat::next(server_lease::PERIOD) => {}
            () = server.lifecycle.drain.cancelled() => return,
        }
    }
}

/// The first round; its success means that the service is there, with this server's port.
pub async fn reconcile(server: &Server) -> anyhow::Result<()> {
    round(server, true).await
}

async fn round(server: &Server, starting: bool) -> anyhow::Result<()> {
    service(server, starting).await?;
    if server.flags.endpoint_reconciler_type == "none" {
        return Ok(());
    }
    if by_count(server) {
        return counted(server, false).await;
    }
    renew(server).await?;
    let alive = alive(server).await?;
    endpoints(server, |_| alive.clone()).await?;
    slice(server, &alive).await?;
    Ok(())
}

fn by_count(server: &Server) -> bool {
    server.flags.endpoint_reconciler_type == "master-count"
}

/// The older way, without leases: each server adds itself and takes out whoever is one too many.
async fn counted(server: &Server, leaving: bool) -> anyhow::Result<()> {
    let (own, count) = (server.advertise, server.flags.apiserver_count);
    let members = endpoints(server, |known| master_count::members(known, own, count, leaving)).await?;
    slice(server, &members).await
}

/// Removes this server from the endpoints, so that nobody is sent to it while it goes.
pub async fn leave(server: &Server) {
    if server.flags.endpoint_reconciler_type == "none" {
        return;
    }
    if by_count(server) {
        if let Err(error) = counted(server, true).await {
            tracing::warn!(%error, "leaving the kubernetes endpoints failed; the others will take this server out");
        }
        return;
    }
    let outcome: anyhow::Result<()> = async {
        server_lease::end(&server.stores.storage.raw(), &lease_key(server)).await?;
        let alive = alive(server).await?;
        endpoints(server, |_| alive.clone()).await?;
        slice(server, &alive).await?;
        Ok(())
    }
    .await;
    if let Err(error) = outcome {
        tracing::warn!(%error, "leaving the kubernetes endpoints failed; the lease will run out");
    }
}

fn store(server: &Server, group: &str, plural: &str) -> anyhow::Result<Store> {
    server
        .stores
        .named(group, plural)
        .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
}

fn lease_key(server: &Server) -> String {
    format!("masterleases/{}", server.advertise)
}

async fn renew(server: &Server) -> anyhow::Result<()> {
    let lease = |generation: i64| {
        json!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": { "generation": generation },
            "subsets": [{ "addresses": [{ "ip": server.advertise.to_string() }] }],
        })
    };
    server_lease::renew(&server.stores.storage.raw(), &lease_key(server), lease).await
}

async fn alive(server: &Server) -> anyhow::Result<BTreeSet<IpAddr>> {
    let leases = server.stores.storage.raw().list("masterleases/").await?;
    Ok(leases
        .iter()
        .filter_map(|lease| lease.key.rsplit('/').next()?.parse().ok())
        .collect())
}

/// Changes one object, or makes it. One that is as wanted in the cache is not read: the next round sees what that missed.
async fn keep(
    store: Store,
    name: &str,
    want: impl Fn(Option<&Value>) -> Option<Value> + Send + Sync,
) -> Result<(), StorageError> {
    let want = &want;
    if store.is_followed()
        && let Some(cached) = store.cached_object(NAMESPACE, name)
    {
        let cached = stores::parse(&cached)?;
        if want(Some(&cached)).is_none_or(|wanted| wanted == cached) {
            return Ok(());
        }
    }
    let decide = |current: Option<ObjectRef>| async move {
        let existing = current.as_ref().map(stores::parse).transpose()?;
        match want(existing.as_ref()) {
            Some(mut object) if existing.as_ref() != Some(&object) => {
                meta::remove(&mut object, "resourceVersion");
                Ok::<Change, StorageError>(Change::Write {
                    json: object.to_string().into_bytes().into(),
                    ttl: None,
                })
            }
            _ => Ok(Change::Nothing),
        }
    };
    store
        .update::<_, _, StorageError>(NAMESPACE, name, &Preconditions::default(), decide)
        .await?;
    Ok(())
}

fn fresh(api_version: &str, kind: &str, labels: Value) -> Value {
    json!({
        "kind": kind,
        "apiVersion": api_version,
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": crate::metadata::new_uid(),
            "creationTimestamp": time::format_time(jiff::Timestamp::now()),
            "labels": labels,
        },
    })
}

/// A service that is there has its ports and type put right when the server starts, and is left alone later: servers whose
/// flags differ must not write against each other.
async fn service(server: &Server, starting: bool) -> anyhow::Result<()> {
    let Some(range) = server.flags.service_cluster_ip_range.first() else {
        return Ok(());
    };
    let address = addresses::first(range);
    // Otherwise building both again would be a good part of what an idle server does.
    if !starting
        && let Some(service) = server.stores.cached("", "services", NAMESPACE, NAME)
        && let Some(address) = service["spec"]["clusterIP"].as_str()
        && server
            .stores
            .cached("networking.k8s.io", "ipaddresses", "", address)
            .is_some()
    {
        return Ok(());
    }
    let owner = addresses::Owner {
        namespace: NAMESPACE,
        name: NAME,
    };
    // A service that has another address, of a range that the flag had once or has elsewhere, keeps it.
    let there = server.stores.cached("", "services", NAMESPACE, NAME);
    if there.is_none_or(|service| service["spec"]["clusterIP"] == address.to_string()) {
        match addresses::take(server, range, address, &owner, false).await {
            Ok(()) | Err(addresses::AddressError::Taken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let node_port = server.flags.kubernetes_service_node_port;
    let mut port = json!({ "name": "https", "protocol": "TCP", "port": 443, "targetPort": server.port });
    if node_port > 0 {
        port["nodePort"] = json!(node_port);
    }
    let spec = json!({
        "ports": [port],
        "clusterIP": address.to_string(),
        "type": if node_port > 0 { "NodePort" } else { "ClusterIP" },
        "sessionAffinity": "None",
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    });
    keep(store(server, "", "services")?, NAME, |existing| match existing {
        Some(existing) => starting.then(|| adapted(existing, &spec)).flatten(),
        None => {
            let mut object = fresh(
                "v1",
                "Service",
                json!({ "component": "apiserver", "provider": "kubernetes" }),
            );
            object["spec"] = spec.clone();
            object["status"] = json!({ "loadBalancer": {} });
            let mut object = track(server, "", "services", object)?;
            // Allocated, and so nobody's fields.
            object["spec"]["clusterIPs"] = json!([address.to_string()]);
            object["spec"]["ipFamilies"] = json!([family]);
            Some(object)
        }
    })
    .await?;
    Ok(())
}

/// The service with the ports and the type that this server wants; `None` if it has them.
fn adapted(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut object = existing.clone();
    let spec = &mut object["spec"];
    for field in ["ports", "type"] {
        spec[field] = wanted[field].clone();
    }
    (object != *existing).then_some(object)
}

/// Notes the API server as the manager of what it wrote.
fn track(server: &Server, group: &str, plural: &str, mut object: Value) -> Option<Value> {
    if let Some(row) = server.registry.load().resource(group, "v1", plural) {
        let now = time::format_time(jiff::Timestamp::now());
        let writer = apimachinery::managed_fields::Writer {
            manager: "kube-apiserver",
            subresource: "",
            now: &now,
        };
        api::managed::track_whole(row, None, &mut object, writer);
    }
    Some(object)
}

/// Makes the endpoints those that `members` gives for what there was, and tells them.
async fn endpoints(
    server: &Server,
    members: impl Fn(&BTreeSet<IpAddr>) -> BTreeSet<IpAddr> + Send + Sync,
) -> anyhow::Result<BTreeSet<IpAddr>> {
    let told = Mutex::new(BTreeSet::new());
    keep(store(server, "", "endpoints")?, NAME, |existing| {
        let mut object = match existing {
            Some(existing) => existing.clone(),
            None => fresh(
                "v1",
                "Endpoints",
                json!({ "endpointslice.kubernetes.io/skip-mirror": "true" }),
            ),
        };
        meta::set_label(&mut object, "endpointslice.kubernetes.io/skip-mirror", "true");
        let alive = members(&master_count::addresses(&object));
        let subsets = subsets(server.port, &alive);
        *told.lock() = alive;
        match (&subsets, object.as_object_mut()) {
            (Value::Null, Some(map)) => {
                map.remove("subsets");
            }
            _ => object["subsets"] = subsets,
        }
        if existing.is_none() {
            track(server, "", "endpoints", object)
        } else {
            Some(object)
        }
    })
    .await?;
    Ok(told.into_inner())
}

fn subsets(port: u16, alive: &BTreeSet<IpAddr>) -> Value {
    if alive.is_empty() {
        return Value::Null;
    }
    let addresses: Vec<Value> = alive
        .iter()
        .map(|address| json!({ "ip": address.to_string() }))
        .collect();
    json!([{ "addresses": addresses, "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] }])
}

async fn slice(server: &Server, alive: &BTreeSet<IpAddr>) -> anyhow::Result<()> {
    let endpoints: Vec<Value> = alive
        .iter()
        .map(|address| json!({ "addresses": [address.to_string()], "conditions": { "ready": true } }))
        .collect();
    let family = if server.advertise.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    };
    keep(
        store(server, "discovery.k8s.io", "endpointslices")?,
        NAME,
        |existing| {
            let mut object = match existing {
                Some(existing) => existing.clone(),
                None => {
                    let mut object = fresh(
                        "discovery.k8s.io/v1",
                        "EndpointSlice",
                        json!({ SLICE_LABEL: NAME }),
                    );
                    meta::set(&mut object, "generation", json!(1));
                    object
                }
            };
            let changed = object["endpoints"] != json!(endpoints);
            object["addressType"] = json!(family);
            object["endpoints"] = json!(endpoints);
            object["ports"] = json!([{ "name": "https", "port": server.port, "protocol": "TCP" }]);
            if existing.is_none() {
                return track(server, "discovery.k8s.io", "endpointslices", object);
            }
            if changed {
                crate::metadata::bump_generation(&mut object);
            }
            Some(object)
        },
    )
    .await?;
    Ok(())
}

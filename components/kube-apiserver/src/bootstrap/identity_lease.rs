//! A lease in `kube-system` for each API server: which there are, and which of them are alive.

use crate::beat;
use crate::metadata;
use crate::server::Server;
use crate::stores;
use apimachinery::managed_fields::Writer;
use apimachinery::{meta, time};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};

/// Where the leases are.
pub const NAMESPACE: &str = "kube-system";
const COMPONENT: &str = "kube-apiserver";
const COMPONENT_LABEL: &str = "apiserver.kubernetes.io/identity";
const HOST_LABEL: &str = "kubernetes.io/hostname";
/// How long a lease is good for, seconds.
const LEASE: i64 = 3600;
const RENEWAL: Duration = Duration::from_secs(10);
/// How often leases of servers that are gone are looked for.
const COLLECTION: Duration = Duration::from_secs(3600);

/// What this server is called among those of the cluster. It stays the same as long as the host's name does; all
/// servers of one host share it, as with upstream.
pub fn server_id() -> String {
    id_on(&host_name())
}

fn id_on(host: &str) -> String {
    let mut hash = Sha256::new();
    for part in [host, COMPONENT] {
        hash.update(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        hash.update(part);
    }
    let encoded = BASE32_NOPAD.encode(&hash.finalize()[..16]);
    format!("apiserver-{}", encoded.to_lowercase())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Renews the lease and removes those of others that have run out, until the server drains.
pub async fn run(server: Arc<Server>) {
    if !server.has_feature("APIServerIdentity") {
        return;
    }
    let holder = format!("{}_{}", server.id, metadata::new_uid());
    let host = host_name();
    let mut collected = None;
    loop {
        if let Err(error) = renew(&server, &holder, &host).await {
            tracing::warn!(%error, name = server.id, "the lease of this API server could not be renewed");
        }
        if collected.is_none_or(|last: tokio::time::Instant| last.elapsed() >= COLLECTION) {
            collected = Some(tokio::time::Instant::now());
            if let Err(error) = collect(&server).await {
                tracing::warn!(%error, "leases of API servers that are gone could not be removed");
            }
        }
        tokio::select! {
            () = beat::next(RENEWAL) => {}
            () = server.lifecycle.drain.cancelled() => return,
        }
    }
}

fn leases(server: &Server) -> anyhow::Result<Store> {
    let store = server.stores.named("coordination.k8s.io", "leases");
    store.ok_or_else(|| anyhow::anyhow!("leases are not served"))
}

async fn renew(server: &Server, holder: &str, host: &str) -> anyhow::Result<()> {
    let decide = |current: Option<ObjectRef>| async move {
        let existing = current.as_ref().map(stores::parse).transpose()?;
        let now = Timestamp::now();
        let mut object = match existing {
            Some(existing) => renewed(existing, holder, host, now),
            None => fresh(server, holder, host, now),
        };
        meta::remove(&mut object, "resourceVersion");
        Ok::<Change, StorageError>(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    leases(server)?
        .update::<_, _, StorageError>(NAMESPACE, &server.id, &Preconditions::default(), decide)
        .await?;
    Ok(())
}

fn renewed(mut lease: Value, holder: &str, host: &str, now: Timestamp) -> Value {
    lease["spec"]["holderIdentity"] = json!(holder);
    lease["spec"]["leaseDurationSeconds"] = json!(LEASE);
    lease["spec"]["renewTime"] = json!(time::format_micro_time(now));
    meta::set_label(&mut lease, COMPONENT_LABEL, COMPONENT);
    meta::set_label(&mut lease, HOST_LABEL, host);
    lease
}

fn fresh(server: &Server, holder: &str, host: &str, now: Timestamp) -> Value {
    let lease = json!({
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {
            "name": server.id,
            "namespace": NAMESPACE,
            "uid": metadata::new_uid(),
            "creationTimestamp": time::format_time(now),
        },
        "spec": {},
    });
    let mut lease = renewed(lease, holder, host, now);
    if let Some(row) = server
        .registry
        .load()
        .resource("coordination.k8s.io", "v1", "leases")
    {
        let writer = Writer {
            manager: COMPONENT,
            subresource: "",
            now: &time::format_time(now),
        };
        api::managed::track_whole(row, None, &mut lease, writer);
    }
    lease
}

async fn collect(server: &Server) -> anyhow::Result<()> {
    let store = leases(server)?;
    let all = server
        .stores
        .newest_list("coordination.k8s.io", "leases", NAMESPACE)
        .await?;
    for lease in all.iter().filter(|lease| is_left(lease, Timestamp::now())) {
        // Asked again of the newest state: it may have been renewed.
        let check = |current: ObjectRef| async move {
            let left = is_left(&stores::parse(&current)?, Timestamp::now());
            left.then_some(()).ok_or(StorageError::NotFound {
                key: current.key().to_owned(),
            })
        };
        let name = meta::name(lease);
        let preconditions = Preconditions::default();
        match store.delete(NAMESPACE, name, &preconditions, check).await {
            Ok(_) => tracing::info!(name, "the lease of an API server that is gone was removed"),
            Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether it is an API server's.
pub fn is_servers(lease: &Value) -> bool {
    lease["metadata"]["labels"][COMPONENT_LABEL] == COMPONENT
}

/// Whether it is an API server's that has not renewed it in time. One without a time is nobody's.
fn is_left(lease: &Value, now: Timestamp) -> bool {
    if !is_servers(lease) {
        return false;
    }
    let renewed = lease["spec"]["renewTime"].as_str();
    let renewed = renewed.and_then(|text| text.parse::<Timestamp>().ok());
    match (renewed, lease["spec"]["leaseDurationSeconds"].as_i64()) {
        (Some(renewed), Some(seconds)) => renewed.as_second().saturating_add(seconds) < now.as_second(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_hosts_name() {
        let id = id_on("cp-1");
        assert_eq!(id.len(), "apiserver-".len() + 26);
        assert_eq!(id, id_on("cp-1"));
        assert_ne!(id, id_on("cp-2"));
    }

    #[test]
    fn leases_that_have_run_out_are_left() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let lease =
            |spec: Value| json!({ "metadata": { "labels": { COMPONENT_LABEL: COMPONENT } }, "spec": spec });
        for (spec, left) in [
            (
                json!({ "renewTime": "2026-01-01T00:00:01.000000Z", "leaseDurationSeconds": 3600 }),
                false,
            ),
            (
                json!({ "renewTime": "2025-12-31T23:59:59.000000Z", "leaseDurationSeconds": 3600 }),
                true,
            ),
            (json!({ "leaseDurationSeconds": 3600 }), true),
            (json!({ "renewTime": "2026-01-01T00:00:01.000000Z" }), true),
        ] {
            assert_eq!(is_left(&lease(spec.clone()), now), left, "{spec}");
        }
        let others = json!({ "spec": { "renewTime": "2020-01-01T00:00:00Z", "leaseDurationSeconds": 1 } });
        assert!(!is_left(&others, now), "an election's");
    }
}

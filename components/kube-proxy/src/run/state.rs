//! What the parts of the daemon share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ahash::AHashSet;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use client::informer::Key as ServiceKey;
use k8s_openapi::api::core::v1::Node;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

use crate::model::ThisNode;

/// Services whose rules have to be looked at; clones share them.
#[derive(Clone, Default)]
pub struct Pending {
    inner: Arc<(Mutex<Waiting>, Notify)>,
}

#[derive(Default)]
struct Waiting {
    keys: AHashSet<ServiceKey>,
    node_changed: bool,
}

impl Pending {
    pub fn add(&self, key: ServiceKey) {
        self.inner.0.lock().keys.insert(key);
        self.inner.1.notify_one();
    }

    pub fn node_changed(&self) {
        self.inner.0.lock().node_changed = true;
        self.inner.1.notify_one();
    }

    /// Takes everything that waits: Services, and whether this node changed.
    pub fn take(&self) -> (AHashSet<ServiceKey>, bool) {
        let waiting = std::mem::take(&mut *self.inner.0.lock());
        (waiting.keys, waiting.node_changed)
    }

    pub fn len(&self) -> usize {
        self.inner.0.lock().keys.len()
    }

    /// Returns when something waits.
    pub async fn changed(&self) {
        loop {
            {
                let waiting = self.inner.0.lock();
                if waiting.node_changed || !waiting.keys.is_empty() {
                    return;
                }
            }
            self.inner.1.notified().await;
        }
    }
}

/// Whether the kernel keeps up with the changes.
pub struct SyncState {
    inner: Mutex<Times>,
    /// A change may wait this long.
    patience: Duration,
}

struct Times {
    synced: Option<(Instant, SystemTime)>,
    /// The oldest change that has not been synced.
    queued: Option<Instant>,
}

impl SyncState {
    pub fn new(sync_period: Duration) -> SyncState {
        SyncState {
            inner: Mutex::new(Times {
                synced: None,
                queued: None,
            }),
            patience: sync_period * 2,
        }
    }

    pub fn queued(&self) {
        self.inner.lock().queued.get_or_insert_with(Instant::now);
    }

    pub fn synced(&self) {
        *self.inner.lock() = Times {
            synced: Some((Instant::now(), SystemTime::now())),
            queued: None,
        };
    }

    fn answer(&self) -> (StatusCode, Json<serde_json::Value>) {
        let times = self.inner.lock();
        let late = times
            .queued
            .is_some_and(|queued| queued.elapsed() > self.patience);
        let status = if times.synced.is_some() && !late {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        };
        let body = json!({
            "lastUpdated": times.synced.map(|(_, time)| seconds(time)),
            "currentTime": seconds(SystemTime::now()),
            "nodeEligible": true,
        });
        (status, Json(body))
    }
}

/// `/healthz` and `/livez`.
pub fn router(state: Arc<SyncState>) -> Router {
    let answer = move || std::future::ready(state.answer());
    Router::new()
        .route("/healthz", get(answer.clone()))
        .route("/livez", get(answer))
}

/// What matters of the Node.
pub fn this_node(node: &Node) -> ThisNode {
    let spec = node.spec.as_ref();
    let addresses = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    let labels = node.metadata.labels.as_ref();
    ThisNode {
        name: node.metadata.name.clone().unwrap_or_default(),
        zone: labels
            .and_then(|labels| labels.get("topology.kubernetes.io/zone"))
            .cloned(),
        addresses: addresses
            .filter(|address| address.type_ == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
            .collect(),
        pod_cidrs: spec
            .and_then(|spec| spec.pod_cidrs.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|range| range.parse().ok())
            .collect(),
    }
}

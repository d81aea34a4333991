//! NoExecute taints, which evict pods: added at a limited rate per zone, taken off at once.

use ahash::AHashMap;
use client::Informer;
use component_config::kube_controller_manager::NodeFlags;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

use super::plan::{Rates, ZoneState, execute_key, no_execute_taints, zone_of, zone_state};
use crate::error::Result;
use crate::nodes::{self, NO_EXECUTE};
use crate::owner::Meta as _;

const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

struct Zone {
    waiting: VecDeque<String>,
    rate: f32,
    /// When the next node may be tainted.
    next: Instant,
}

pub(super) struct Tainter {
    client: Client,
    rates: Rates,
    threshold: f32,
    zones: Mutex<AHashMap<String, Zone>>,
    all_disrupted: Mutex<bool>,
}

impl Tainter {
    pub fn new(client: Client, flags: &NodeFlags) -> Self {
        Self {
            client,
            rates: Rates {
                normal: flags.node_eviction_rate,
                reduced: flags.secondary_node_eviction_rate,
                large_cluster: flags.large_cluster_size_threshold,
            },
            threshold: flags.unhealthy_zone_threshold,
            zones: Mutex::default(),
            all_disrupted: Mutex::new(false),
        }
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Takes in a node's state: a ready one loses its taints, another one gets into its zone's queue.
    pub async fn note(&self, node: &Node, ready: &str) -> Result<()> {
        let now = Timestamp::now();
        let Some(key) = execute_key(ready) else {
            self.forget(node.name());
            return nodes::change_taints(&self.api(), node, |present| no_execute_taints(present, None, now))
                .await;
        };
        let tainted = |key: &str| {
            nodes::taints(node)
                .iter()
                .any(|taint| nodes::same_taint(taint, key, NO_EXECUTE))
        };
        if tainted(key) {
            return Ok(());
        }
        // Already given up for the other reason: only the taint is swapped.
        if tainted(nodes::NOT_READY) || tainted(nodes::UNREACHABLE) {
            return nodes::change_taints(&self.api(), node, |present| {
                no_execute_taints(present, Some(key), now)
            })
            .await;
        }
        let mut zones = self.zones.lock();
        let zone = zones.entry(zone_of(node)).or_insert_with(|| Zone {
            waiting: VecDeque::new(),
            rate: self.rates.normal,
            next: Instant::now(),
        });
        if !zone.waiting.iter().any(|name| name == node.name()) {
            zone.waiting.push_back(node.name().to_owned());
        }
        Ok(())
    }

    pub fn forget(&self, name: &str) {
        for zone in self.zones.lock().values_mut() {
            zone.waiting.retain(|waiting| waiting != name);
        }
    }

    /// Sets the zones' rates by how many of their nodes are ready.
    pub fn update_zones(&self, nodes: &[Arc<Node>]) {
        let mut counts: AHashMap<String, (usize, usize)> = AHashMap::new();
        for node in nodes.iter().filter(|node| node.label(EXCLUDED).is_none()) {
            let Some(ready) = nodes::ready_status(node) else {
                continue;
            };
            let count = counts.entry(zone_of(node)).or_default();
            if ready == "True" {
                count.0 += 1
            } else {
                count.1 += 1
            }
        }
        let states: AHashMap<&String, ZoneState> = counts
            .iter()
            .map(|(zone, (ready, not_ready))| (zone, zone_state(*ready, *not_ready, self.threshold)))
            .collect();
        let all_disrupted =
            !states.is_empty() && states.values().all(|state| *state == ZoneState::FullDisruption);
        let mut zones = self.zones.lock();
        for (name, zone) in zones.iter_mut() {
            let state = states.get(name).copied().unwrap_or(ZoneState::Normal);
            let size = counts.get(name).map_or(0, |(ready, not_ready)| ready + not_ready);
            zone.rate = self.rates.of_zone(state, size, all_disrupted);
            if all_disrupted {
                zone.waiting.clear();
            }
        }
        drop(zones);
        let was = std::mem::replace(&mut *self.all_disrupted.lock(), all_disrupted);
        if was != all_disrupted {
            tracing::info!(all_disrupted, "the state of all zones has changed");
        }
    }

    /// Taints the nodes whose turn it is.
    pub async fn pass(&self, nodes: &Informer<Node>) {
        if *self.all_disrupted.lock() {
            // Our own connection is the likelier fault: whoever was tainted before is given back.
            for node in nodes.list() {
                let now = Timestamp::now();
                let outcome = nodes::change_taints(&self.api(), &node, |present| {
                    no_execute_taints(present, None, now)
                })
                .await;
                if let Err(error) = outcome {
                    tracing::warn!(node = node.name(), %error, "cannot take the taints off");
                }
            }
            return;
        }
        for name in self.due() {
            let Some(node) = nodes.get("", &name) else {
                continue;
            };
            let Some(key) = nodes::ready_status(&node).and_then(execute_key) else {
                continue;
            };
            let now = Timestamp::now();
            let outcome = nodes::change_taints(&self.api(), &node, |present| {
                no_execute_taints(present, Some(key), now)
            })
            .await;
            match outcome {
                Ok(()) => tracing::info!(node = name, taint = key, "node is given up"),
                // The next round of the monitor puts it into the queue again.
                Err(error) => tracing::warn!(node = name, %error, "cannot taint the node"),
            }
        }
    }

    fn due(&self) -> Vec<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        for zone in self.zones.lock().values_mut() {
            if zone.rate > 0.0
                && now >= zone.next
                && let Some(name) = zone.waiting.pop_front()
            {
                zone.next = now + std::time::Duration::from_secs_f32(1.0 / zone.rate);
                due.push(name);
            }
        }
        due
    }
}

//! Registers the node and reports its status.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Informer;
use client::events::{Recorder, Type};
use component_config::kubelet::configuration::Taint;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerImage, Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::RwLock;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::facts::MachineFacts;
use super::register::initial_node;
use super::status::{self, NodeInput, is_same, node_status};
use crate::context::node_reference;
use crate::eviction::{Pressure, Pressures};
use crate::runtime::Runtime;

/// What was last heard from the runtime; empty when all is well.
#[derive(Clone, Default)]
pub struct RuntimeHealth {
    problems: Arc<RwLock<Vec<String>>>,
}

impl RuntimeHealth {
    pub fn problems(&self) -> Vec<String> {
        self.problems.read().clone()
    }
}

/// Everything the reports are made of.
pub struct NodeReporter {
    pub client: Client,
    /// This node's object.
    pub nodes: Informer<Node>,
    pub runtime: Runtime,
    pub recorder: Recorder,
    pub name: String,
    pub host_name: String,
    pub port: i32,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub provider_id: String,
    pub register: bool,
    pub addresses: Vec<IpAddr>,
    pub facts: MachineFacts,
    pub capacity: BTreeMap<String, Quantity>,
    pub allocatable: BTreeMap<String, Quantity>,
    pub pressures: Pressures,
    /// Sorted.
    pub declared_features: Vec<&'static str>,
    pub max_images: i32,
    pub update_every: Duration,
    pub report_every: Duration,
    pub health: RuntimeHealth,
}

const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(7);

impl NodeReporter {
    /// Registers, then reports until `shutdown`; then says that the node is stopping.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut pause = RETRY;
        let mut last = loop {
            match self.register().await {
                Ok(status) => break status,
                Err(error) => tracing::warn!(node = self.name, %error, "node not registered yet"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        };
        self.event("Starting", "Starting kubelet.");
        let mut reported = Instant::now();
        loop {
            // Others write into it too: that the node is lost, or what it has more of.
            if let Some(status) = self
                .nodes
                .get("", &self.name)
                .and_then(|node| node.status.clone())
            {
                last = status;
            }
            let fresh = self.status(&last).await;
            // A node that becomes ready is looked at more often until it is.
            let ready = self.health.problems().is_empty();
            if !is_same(&last, &fresh) || reported.elapsed() >= self.report_every {
                match self.patch(&last, &fresh).await {
                    Ok(status) => {
                        self.note_changes(&last, &fresh);
                        last = status;
                        reported = Instant::now();
                    }
                    Err(error) => tracing::warn!(node = self.name, %error, "node status not reported"),
                }
            }
            let pause = if ready {
                self.update_every
            } else {
                self.update_every.min(Duration::from_millis(500))
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn event(&self, reason: &str, message: &str) {
        let about = node_reference(&self.name);
        self.recorder.event(about, Type::Normal, reason, message);
    }

    async fn register(&self) -> Result<NodeStatus, kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let existing = nodes.get_opt(&self.name).await?;
        let status = self
            .status(
                &existing
                    .as_ref()
                    .and_then(|node| node.status.clone())
                    .unwrap_or_default(),
            )
            .await;
        let wanted = initial_node(
            &self.name,
            &self.host_name,
            &self.labels,
            &self.taints,
            &self.provider_id,
            status,
        );
        match existing {
            None if self.register => {
                let made = match nodes.create(&PostParams::default(), &wanted).await {
                    // Somebody was faster; the next attempt takes the object over.
                    Err(kube::Error::Api(status)) if status.code == 409 => nodes.get(&self.name).await?,
                    made => made?,
                };
                tracing::info!(node = self.name, "node registered");
                Ok(made.status.unwrap_or_default())
            }
            None => Err(kube::Error::Service(
                format!("node {} does not exist and registerNode is off", self.name).into(),
            )),
            Some(node) => {
                self.update_labels(&nodes, &node, &wanted).await?;
                Ok(node.status.unwrap_or_default())
            }
        }
    }

    /// A node that was registered before gets the labels that may have changed; its taints are others' affair.
    async fn update_labels(&self, nodes: &Api<Node>, node: &Node, wanted: &Node) -> Result<(), kube::Error> {
        let current = node.metadata.labels.clone().unwrap_or_default();
        let missing: BTreeMap<_, _> = wanted
            .metadata
            .labels
            .iter()
            .flatten()
            .filter(|(key, value)| current.get(*key) != Some(value))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let patch = json!({"metadata": {"labels": missing}});
        nodes
            .patch(&self.name, &PatchParams::default(), &Patch::Strategic(&patch))
            .await
            .map(|_| ())
    }

    async fn status(&self, previous: &NodeStatus) -> NodeStatus {
        let (problems, handlers) = self.ask_runtime().await;
        *self.health.problems.write() = problems.clone();
        let pressures = self.pressures.get();
        node_status(NodeInput {
            previous,
            addresses: &self.addresses,
            host_name: &self.host_name,
            port: self.port,
            capacity: &self.capacity,
            allocatable: &self.allocatable,
            info: &self.facts.info,
            declared_features: &self.declared_features,
            images: self.images().await,
            handlers,
            problems: &problems,
            memory_pressure: pressures.contains(&Pressure::Memory),
            disk_pressure: pressures.contains(&Pressure::Disk),
            pid_pressure: pressures.contains(&Pressure::Pid),
            now: Timestamp::now(),
        })
    }

    async fn ask_runtime(&self) -> (Vec<String>, Vec<(String, bool, bool)>) {
        match self.runtime.status(false).await {
            Ok(answer) => {
                let mut problems = Vec::new();
                for condition in answer.status.iter().flat_map(|status| &status.conditions) {
                    let kind = match condition.r#type.as_str() {
                        "RuntimeReady" => "container runtime is not ready",
                        "NetworkReady" => "container runtime network not ready",
                        _ => continue,
                    };
                    if !condition.status {
                        problems.push(format!(
                            "{kind}: {}=false reason:{} message:{}",
                            condition.r#type, condition.reason, condition.message
                        ));
                    }
                }
                let handlers = answer.runtime_handlers.into_iter().map(|handler| {
                    let features = handler.features.unwrap_or_default();
                    (
                        handler.name,
                        features.recursive_read_only_mounts,
                        features.user_namespaces,
                    )
                });
                let mut handlers: Vec<_> = handlers.collect();
                handlers.sort();
                (problems, handlers)
            }
            Err(error) => (vec![format!("container runtime is down: {error}")], Vec::new()),
        }
    }

    async fn images(&self) -> Vec<ContainerImage> {
        let mut images = self.runtime.list_images().await.unwrap_or_default();
        images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
        let limit = usize::try_from(self.max_images).unwrap_or(usize::MAX);
        images
            .into_iter()
            .take(limit)
            .map(|image| ContainerImage {
                // Five names are enough to find an image by.
                names: Some(
                    image
                        .repo_digests
                        .into_iter()
                        .chain(image.repo_tags)
                        .take(5)
                        .collect(),
                ),
                size_bytes: i64::try_from(image.size).ok(),
            })
            .collect()
    }

    async fn patch(&self, old: &NodeStatus, new: &NodeStatus) -> Result<NodeStatus, kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patch = status::patch(old, new).map_err(kube::Error::SerdeError)?;
        let node = nodes
            .patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(&patch))
            .await?;
        Ok(NodeStatus {
            conditions: new.conditions.clone(),
            ..node.status.unwrap_or_default()
        })
    }

    fn note_changes(&self, old: &NodeStatus, new: &NodeStatus) {
        let status = |list: &NodeStatus, kind: &str| {
            list.conditions
                .iter()
                .flatten()
                .find(|condition| condition.type_ == kind)
                .map(|condition| condition.status.clone())
        };
        if status(old, "Ready") != status(new, "Ready") {
            let reason = if status(new, "Ready").as_deref() == Some("True") {
                "NodeReady"
            } else {
                "NodeNotReady"
            };
            self.event(reason, &format!("Node {} status is now: {reason}", self.name));
        }
        for condition in new
            .conditions
            .iter()
            .flatten()
            .filter(|condition| condition.type_.ends_with("Pressure"))
        {
            if status(old, &condition.type_).as_ref() != Some(&condition.status) {
                let reason = match (condition.type_.as_str(), condition.status == "True") {
                    ("MemoryPressure", true) => "NodeHasInsufficientMemory",
                    ("MemoryPressure", false) => "NodeHasSufficientMemory",
                    ("DiskPressure", true) => "NodeHasDiskPressure",
                    ("DiskPressure", false) => "NodeHasNoDiskPressure",
                    (_, true) => "NodeHasInsufficientPID",
                    (_, false) => "NodeHasSufficientPID",
                };
                self.event(reason, &format!("Node {} status is now: {reason}", self.name));
            }
        }
    }
}

//! Watches of everything that decisions depend on, reduced to what they look at.

use std::sync::Arc;

use ahash::AHashMap;
use client::informer::all_synced;
use client::{Change, Informer};
use futures::FutureExt as _;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1 as core_v1;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1 as storage_v1;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::watched::Watched;
use crate::cluster::{Claim, ClaimKey, StorageClass, Volume};
use crate::model::selector::{Labels, Selector};
use crate::model::{Node, Pod};
use crate::preemption::DisruptionBudget;

/// Something that happened: in the cluster, or to what the scheduler itself has begun.
pub enum Input {
    Pod(Arc<Pod>),
    PodGone(String),
    Node(Arc<Node>),
    NodeGone(String),
    Namespace(String, Option<Labels>),
    Service(ClaimKey, Option<Labels>),
    /// Kind, namespace and name of a workload, and what it selects.
    Controller(&'static str, ClaimKey, Option<Selector>),
    Budget(ClaimKey, Option<DisruptionBudget>),
    Claim(ClaimKey, Option<Box<Claim>>),
    Volume(String, Option<Box<Volume>>),
    StorageClass(String, Option<StorageClass>),
    AttachLimits(String, Option<AHashMap<String, i64>>),
    Bound(String, Result<(), String>),
    Preempted(String, Result<(), String>),
}

/// Starts all watches. Each change becomes an [`Input`]; the channel is unbounded because a watch must not
/// wait, and what waits in it is bounded by what the API server sends.
pub fn start(client: &Client, sender: &UnboundedSender<Input>, shutdown: &CancellationToken) -> Watches {
    let all = Config::default;
    let live = || Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    macro_rules! watch {
        ($kind:ty, $config:expr, $trim:expr, $input:expr) => {{
            let api: Api<$kind> = Api::all(client.clone());
            let informer = Informer::start_with(api, $config, shutdown.clone(), $trim);
            let sender = sender.clone();
            informer.on_change(move |change: &Change<$kind>| {
                // The receiver is gone only when the process is about to end.
                let _ = sender.send($input(change));
            });
            informer
        }};
    }
    fn key<K: kube::Resource>(object: &K) -> ClaimKey {
        (object.namespace().unwrap_or_default(), object.name_any())
    }
    Watches {
        pods: watch!(
            Watched<Pod>,
            live(),
            |_| {},
            |change: &Change<Watched<Pod>>| match &change.new {
                Some(pod) => Input::Pod(pod.reduced.clone()),
                None => Input::PodGone(change.object().uid().unwrap_or_default()),
            }
        ),
        nodes: watch!(
            Watched<Node>,
            all(),
            |_| {},
            |change: &Change<Watched<Node>>| match &change.new {
                Some(node) => Input::Node(node.reduced.clone()),
                None => Input::NodeGone(change.object().name_any()),
            }
        ),
        namespaces: watch!(
            core_v1::Namespace,
            all(),
            |one| one.annotations_mut().clear(),
            |change: &Change<core_v1::Namespace>| {
                Input::Namespace(
                    change.object().name_any(),
                    change.new.as_ref().map(|one| one.labels().clone()),
                )
            }
        ),
        services: watch!(
            core_v1::Service,
            all(),
            |one| one.annotations_mut().clear(),
            |change: &Change<core_v1::Service>| {
                let selector = change
                    .new
                    .as_ref()
                    .and_then(|one| one.spec.as_ref()?.selector.clone());
                Input::Service(key(&**change.object()), selector)
            }
        ),
        replica_sets: watch!(
            ReplicaSet,
            all(),
            |one: &mut ReplicaSet| {
                one.annotations_mut().clear();
                one.status = None;
                if let Some(spec) = &mut one.spec {
                    spec.template = None;
                }
            },
            |change: &Change<ReplicaSet>| {
                let selector = change
                    .new
                    .as_ref()
                    .and_then(|one| Some(Selector::of(Some(&one.spec.as_ref()?.selector))));
                Input::Controller("ReplicaSet", key(&**change.object()), selector)
            }
        ),
        stateful_sets: watch!(
            StatefulSet,
            all(),
            |one: &mut StatefulSet| {
                one.annotations_mut().clear();
                one.status = None;
                if let Some(spec) = &mut one.spec {
                    spec.template = Default::default();
                    spec.volume_claim_templates = None;
                }
            },
            |change: &Change<StatefulSet>| {
                let selector = change
                    .new
                    .as_ref()
                    .and_then(|one| Some(Selector::of(Some(&one.spec.as_ref()?.selector))));
                Input::Controller("StatefulSet", key(&**change.object()), selector)
            }
        ),
        replication_controllers: watch!(
            core_v1::ReplicationController,
            all(),
            |one: &mut core_v1::ReplicationController| {
                one.annotations_mut().clear();
                if let Some(spec) = &mut one.spec {
                    spec.template = None;
                }
            },
            |change: &Change<core_v1::ReplicationController>| {
                let selector = change
                    .new
                    .as_ref()
                    .and_then(|one| one.spec.as_ref()?.selector.as_ref().map(Selector::of_map));
                Input::Controller("ReplicationController", key(&**change.object()), selector)
            }
        ),
        budgets: watch!(
            PodDisruptionBudget,
            all(),
            |one| one.annotations_mut().clear(),
            |change: &Change<PodDisruptionBudget>| {
                Input::Budget(key(&**change.object()), change.new.as_deref().map(budget))
            }
        ),
        claims: watch!(
            core_v1::PersistentVolumeClaim,
            all(),
            |_| {},
            |change: &Change<core_v1::PersistentVolumeClaim>| {
                Input::Claim(
                    key(&**change.object()),
                    change.new.as_deref().map(|one| Box::new(claim(one))),
                )
            }
        ),
        volumes: watch!(core_v1::PersistentVolume, all(), |_| {}, |change: &Change<
            core_v1::PersistentVolume,
        >| {
            Input::Volume(
                change.object().name_any(),
                change.new.as_deref().map(|one| Box::new(volume(one))),
            )
        }),
        classes: watch!(storage_v1::StorageClass, all(), |_| {}, |change: &Change<
            storage_v1::StorageClass,
        >| {
            Input::StorageClass(
                change.object().name_any(),
                change.new.as_deref().map(storage_class),
            )
        }),
        csi_nodes: watch!(storage_v1::CSINode, all(), |_| {}, |change: &Change<
            storage_v1::CSINode,
        >| {
            Input::AttachLimits(
                change.object().name_any(),
                change.new.as_deref().map(attach_limits),
            )
        }),
    }
}

/// The watches; dropping them does not end them, the token does.
pub struct Watches {
    pods: Informer<Watched<Pod>>,
    nodes: Informer<Watched<Node>>,
    namespaces: Informer<core_v1::Namespace>,
    services: Informer<core_v1::Service>,
    replica_sets: Informer<ReplicaSet>,
    stateful_sets: Informer<StatefulSet>,
    replication_controllers: Informer<core_v1::ReplicationController>,
    budgets: Informer<PodDisruptionBudget>,
    pub claims: Informer<core_v1::PersistentVolumeClaim>,
    pub volumes: Informer<core_v1::PersistentVolume>,
    classes: Informer<storage_v1::StorageClass>,
    csi_nodes: Informer<storage_v1::CSINode>,
}

impl Watches {
    /// Waits for the first complete list of everything. False when a watch has ended before.
    pub async fn synced(&self) -> bool {
        all_synced([
            self.pods.synced().boxed(),
            self.nodes.synced().boxed(),
            self.namespaces.synced().boxed(),
            self.services.synced().boxed(),
            self.replica_sets.synced().boxed(),
            self.stateful_sets.synced().boxed(),
            self.replication_controllers.synced().boxed(),
            self.budgets.synced().boxed(),
            self.claims.synced().boxed(),
            self.volumes.synced().boxed(),
            self.classes.synced().boxed(),
            self.csi_nodes.synced().boxed(),
        ])
        .await
    }
}

fn budget(budget: &PodDisruptionBudget) -> DisruptionBudget {
    let status = budget.status.as_ref();
    DisruptionBudget {
        namespace: budget.namespace().unwrap_or_default(),
        selector: Selector::of(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
        disruptions_allowed: status
            .and_then(|status| status.disruptions_allowed)
            .map_or(0, i64::from),
        disrupted_pods: status
            .and_then(|status| status.disrupted_pods.as_ref())
            .map(|pods| pods.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

fn claim(claim: &core_v1::PersistentVolumeClaim) -> Claim {
    use crate::cluster::ClaimPhase;
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    Claim {
        uid: claim.uid().unwrap_or_default(),
        phase: match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Bound") => ClaimPhase::Bound,
            Some("Lost") => ClaimPhase::Lost,
            _ => ClaimPhase::Pending,
        },
        deleting: claim.metadata.deletion_timestamp.is_some(),
        volume: spec.volume_name.filter(|name| !name.is_empty()),
        class: spec.storage_class_name.or_else(|| {
            claim
                .annotations()
                .get("volume.beta.kubernetes.io/storage-class")
                .cloned()
        }),
        access_modes: spec.access_modes.unwrap_or_default(),
        block: spec.volume_mode.as_deref() == Some("Block"),
        size: requests
            .and_then(|requests| requests.get("storage"))
            .map_or(0, crate::model::quantity::value),
        selector: spec
            .selector
            .as_ref()
            .map(|selector| Selector::of(Some(selector))),
        selected_node: claim
            .annotations()
            .get("volume.kubernetes.io/selected-node")
            .cloned(),
        owner_pod: claim
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone()),
        bind_completed: claim
            .annotations()
            .contains_key("pv.kubernetes.io/bind-completed"),
    }
}

fn volume(volume: &core_v1::PersistentVolume) -> Volume {
    use crate::model::node_affinity::NodeTerm;
    let spec = volume.spec.clone().unwrap_or_default();
    let required = spec.node_affinity.and_then(|affinity| affinity.required);
    Volume {
        name: volume.name_any(),
        labels: volume.labels().clone(),
        capacity: spec
            .capacity
            .as_ref()
            .and_then(|capacity| capacity.get("storage"))
            .map_or(0, crate::model::quantity::value),
        class: spec.storage_class_name.unwrap_or_default(),
        access_modes: spec.access_modes.unwrap_or_default(),
        block: spec.volume_mode.as_deref() == Some("Block"),
        available: volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available"),
        deleting: volume.metadata.deletion_timestamp.is_some(),
        claim: spec.claim_ref.map(|claim| {
            (
                claim.namespace.unwrap_or_default(),
                claim.name.unwrap_or_default(),
                claim.uid.unwrap_or_default(),
            )
        }),
        node_affinity: required
            .map(|selector| selector.node_selector_terms.iter().map(NodeTerm::of).collect()),
        csi: spec.csi.map(|csi| (csi.driver, csi.volume_handle)),
    }
}

fn storage_class(class: &storage_v1::StorageClass) -> StorageClass {
    StorageClass {
        provisioner: class.provisioner.clone(),
        wait_for_first_consumer: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        allowed_topologies: class
            .allowed_topologies
            .iter()
            .flatten()
            .map(|term| {
                let expressions = term.match_label_expressions.iter().flatten();
                expressions
                    .map(|one| (one.key.clone(), one.values.clone()))
                    .collect()
            })
            .collect(),
    }
}

fn attach_limits(node: &storage_v1::CSINode) -> AHashMap<String, i64> {
    node.spec
        .drivers
        .iter()
        .filter_map(|driver| {
            let count = driver.allocatable.as_ref()?.count?;
            Some((driver.name.clone(), i64::from(count)))
        })
        .collect()
}

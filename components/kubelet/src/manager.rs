//! Owns the pod workers: starts them, tells them what changed, and knows when they have ended.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use parking_lot::RwLock;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{NodeFacts, admit, is_over};
use crate::allocation::{self, Refusal};
use crate::context::Shared;
use crate::objects::referenced;
use crate::pod::members::PodView;
use crate::pod::status::is_owned;
use crate::runtime::{ContainerRecord, label};
use crate::sources::{Change, is_static};
use crate::volumes::clean_orphans;
use crate::worker::{PodInput, Worker, WorkerHandle};

/// The pods of this node, for whoever wants to read them.
#[derive(Clone, Default)]
pub struct PodTable {
    pods: Arc<RwLock<HashMap<String, Arc<Pod>>>>,
}

impl PodTable {
    pub fn list(&self) -> Vec<Arc<Pod>> {
        let mut pods: Vec<Arc<Pod>> = self.pods.read().values().cloned().collect();
        pods.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        pods
    }

    /// The pod of that name; of several (one being deleted) the one that is not.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.pods.read();
        let mut found: Vec<_> = pods
            .values()
            .filter(|pod| pod.namespace() == namespace && pod.name() == name)
            .collect();
        found.sort_by_key(|pod| pod.is_deleted());
        found.first().map(|pod| (*pod).clone())
    }

    pub fn contains(&self, uid: &str) -> bool {
        self.pods.read().contains_key(uid)
    }
}

/// What the manager is told by others than the sources.
#[derive(Clone, Default)]
pub struct Pokes {
    workers: Arc<RwLock<HashMap<String, (Arc<Notify>, Arc<AtomicBool>)>>>,
    table: PodTable,
}

impl Pokes {
    /// Something happened to a pod's containers; None means that anything may have.
    pub fn runtime_changed(&self, uid: Option<&str>) {
        let workers = self.workers.read();
        match uid {
            Some(uid) => {
                if let Some((poke, _)) = workers.get(uid) {
                    poke.notify_one();
                }
            }
            None => workers.values().for_each(|(poke, _)| poke.notify_one()),
        }
    }

    /// A config map or secret changed: the volumes that show it have to be written again.
    pub fn object_changed(&self, namespace: &str, name: &str) {
        let users: Vec<Arc<Pod>> = self
            .table
            .pods
            .read()
            .values()
            .filter(|pod| pod.namespace() == namespace)
            .cloned()
            .collect();
        let workers = self.workers.read();
        for pod in users {
            let (config_maps, secrets) = referenced(&pod);
            if (config_maps.contains(name) || secrets.contains(name))
                && let Some((poke, refresh)) = workers.get(pod.uid())
            {
                refresh.store(true, Ordering::Release);
                poke.notify_one();
            }
        }
    }

    pub fn table(&self) -> PodTable {
        self.table.clone()
    }
}

/// The manager's own state.
pub struct Manager {
    context: Shared,
    pokes: Pokes,
    node: Arc<dyn Fn() -> NodeFacts + Send + Sync>,
    workers: HashMap<String, WorkerHandle>,
    running: JoinSet<String>,
    /// Ended workers whose objects are not gone yet: they must not come back.
    ended: BTreeSet<String>,
    /// Pods as their objects are, that ask for more than they have been granted.
    waiting: HashMap<String, Arc<Pod>>,
    api_synced: bool,
    files_synced: bool,
}

impl Manager {
    /// `api` and `files` say which sources there are to wait for.
    pub fn new(
        context: Shared,
        pokes: Pokes,
        node: Arc<dyn Fn() -> NodeFacts + Send + Sync>,
        api: bool,
        files: bool,
    ) -> Self {
        Self {
            context,
            pokes,
            node,
            workers: HashMap::new(),
            running: JoinSet::new(),
            ended: BTreeSet::new(),
            waiting: HashMap::new(),
            api_synced: !api,
            files_synced: !files,
        }
    }

    /// Runs until `shutdown`, then waits for the workers to leave their pods as they are.
    pub async fn run(
        mut self,
        mut changes: UnboundedReceiver<Change>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut cleaning = tokio::time::interval(std::time::Duration::from_secs(60));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                change = changes.recv() => match change {
                    Some(change) => self.take(change, &shutdown).await,
                    None => break,
                },
                Some(ended) = self.running.join_next() => match ended {
                    Ok(uid) => {
                        self.worker_ended(&uid);
                        self.grant_waiting(&shutdown);
                    }
                    Err(error) => anyhow::bail!("a pod worker panicked: {error}"),
                },
                _ = cleaning.tick() => {
                    self.clean(&shutdown).await;
                    self.grant_waiting(&shutdown);
                }
            }
        }
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a pod worker did not stop in order");
            }
        }
        Ok(())
    }

    async fn take(&mut self, change: Change, shutdown: &CancellationToken) {
        match change {
            Change::Apply(pod) => self.apply(pod, shutdown),
            Change::Remove(pod) => self.remove(&pod),
            Change::Evict(pod, eviction) => {
                if let Some(worker) = self.workers.get(pod.uid()) {
                    worker.input.send_modify(|input| {
                        input.evicted.get_or_insert(eviction);
                    });
                }
            }
            Change::ApiSynced => {
                self.api_synced = true;
                self.clean(shutdown).await;
            }
            Change::FilesSynced => {
                self.files_synced = true;
                self.clean(shutdown).await;
            }
        }
    }

    fn apply(&mut self, pod: Arc<Pod>, shutdown: &CancellationToken) {
        let uid = pod.uid().to_owned();
        if uid.is_empty() || self.ended.contains(&uid) {
            return;
        }
        if !is_static(&pod) {
            self.context.status.observed(&uid, &pod);
        }
        let known = self.pokes.table.contains(&uid);
        let granted = self.pokes.table.pods.read().get(&uid).cloned();
        let (pod, refused) = self.grant(pod, granted);
        if let Some(worker) = self.workers.get(&uid) {
            let old = self.pokes.table.pods.write().insert(uid, pod.clone());
            let shown = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
            let shows_more = old.as_deref().map(shown) != Some(shown(&pod));
            worker.input.send_if_modified(|input| {
                let matters = differs(&input.pod, &pod) || input.refused != refused;
                input.pod = pod;
                input.refused = refused;
                matters
            });
            // After the pod: a worker that took the order first would write the old labels, and nothing after them.
            if shows_more {
                worker.refresh.store(true, Ordering::Release);
                worker.poke.notify_one();
            }
            return;
        }
        let started = pod
            .status
            .as_ref()
            .is_some_and(|status| status.start_time.is_some());
        let rejected = if known || started || pod.is_deleted() {
            None
        } else {
            admit(&pod, &self.pokes.table.list(), &(self.node)())
        };
        self.pokes.table.pods.write().insert(uid.clone(), pod.clone());
        self.start_worker(
            PodInput {
                pod,
                removed: false,
                rejected,
                evicted: None,
                refused,
            },
            shutdown,
        );
    }

    /// The pod with what it gets, and why that is less than it asks for. `granted` is what it had until now.
    fn grant(&mut self, pod: Arc<Pod>, granted: Option<Arc<Pod>>) -> (Arc<Pod>, Option<Refusal>) {
        let granted = granted.unwrap_or_else(|| Arc::new(allocation::with_resources_of_status(&pod)));
        self.waiting.remove(pod.uid());
        if !allocation::differ(&granted, &pod) || is_over(&pod) || pod.is_deleted() {
            return (pod, None);
        }
        match allocation::fits(&pod, &self.pokes.table.list(), &(self.node)()) {
            Ok(()) => (pod, None),
            Err(refusal) => {
                let kept = allocation::with_resources_of(&pod, &granted);
                self.waiting.insert(pod.uid().to_owned(), pod);
                (Arc::new(kept), Some(refusal))
            }
        }
    }

    /// Looks again whether there is room, after something has left.
    fn grant_waiting(&mut self, shutdown: &CancellationToken) {
        let waiting: Vec<Arc<Pod>> = self.waiting.values().cloned().collect();
        for pod in waiting {
            self.apply(pod, shutdown);
        }
    }

    fn start_worker(&mut self, input: PodInput, shutdown: &CancellationToken) {
        let uid = input.pod.uid().to_owned();
        let poke = Arc::new(Notify::new());
        let refresh = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = watch::channel(input);
        let worker = Worker::new(
            self.context.clone(),
            receiver,
            poke.clone(),
            refresh.clone(),
            shutdown.clone(),
        );
        self.pokes
            .workers
            .write()
            .insert(uid.clone(), (poke.clone(), refresh.clone()));
        self.workers.insert(
            uid.clone(),
            WorkerHandle {
                input: sender,
                poke,
                refresh,
            },
        );
        self.running.spawn(async move {
            worker.run().await;
            uid
        });
    }

    fn remove(&mut self, pod: &Arc<Pod>) {
        let uid = pod.uid();
        self.ended.remove(uid);
        self.pokes.table.pods.write().remove(uid);
        match self.workers.get(uid) {
            Some(worker) => worker.input.send_modify(|input| {
                input.pod = pod.clone();
                input.removed = true;
            }),
            None => self.context.status.forget(uid),
        }
        self.context.volumes.objects.retain(&self.pokes.table.list());
    }

    fn worker_ended(&mut self, uid: &str) {
        self.workers.remove(uid);
        self.waiting.remove(uid);
        self.pokes.workers.write().remove(uid);
        if self.pokes.table.contains(uid) {
            self.ended.insert(uid.to_owned());
        } else {
            self.context.status.forget(uid);
        }
    }

    /// Ends what runs for pods that were deleted while the kubelet was not there, and removes what is left of them.
    async fn clean(&mut self, shutdown: &CancellationToken) {
        if !(self.api_synced && self.files_synced) {
            return;
        }
        let (sandboxes, containers) = match tokio::try_join!(
            self.context.runtime.list_sandboxes(None),
            self.context.runtime.list_containers(None)
        ) {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, "cannot look for orphaned pods"),
        };
        let mut orphans: HashMap<String, Pod> = HashMap::new();
        for (labels, annotations) in sandboxes
            .iter()
            .map(|sandbox| (&sandbox.labels, &sandbox.annotations))
            .chain(
                containers
                    .iter()
                    .map(|container| (&container.labels, &container.annotations)),
            )
        {
            let Some(uid) = labels.get(label::POD_UID) else {
                continue;
            };
            if self.workers.contains_key(uid) || self.pokes.table.contains(uid) {
                continue;
            }
            let record = ContainerRecord::read(labels, annotations);
            let pod = orphans.entry(uid.clone()).or_insert_with(|| orphan(&record));
            if let (Some(spec), false) = (&mut pod.spec, record.name.is_empty()) {
                spec.containers.push(Container {
                    name: record.name.clone(),
                    ..Container::default()
                });
                spec.termination_grace_period_seconds = record
                    .termination_grace_period
                    .or(spec.termination_grace_period_seconds);
            }
        }
        for pod in orphans.into_values() {
            tracing::info!(pod = %pod.full_name(), "ending an orphaned pod");
            self.start_worker(
                PodInput {
                    pod: Arc::new(pod),
                    removed: true,
                    rejected: None,
                    evicted: None,
                    refused: None,
                },
                shutdown,
            );
        }
        let known: BTreeSet<String> = self
            .workers
            .keys()
            .cloned()
            .chain(self.pokes.table.pods.read().keys().cloned())
            .collect();
        for (uid, error) in clean_orphans(&self.context.volumes.root, &known) {
            tracing::warn!(uid, %error, "files of an orphaned pod stay");
        }
    }
}

/// Whether a new version of a pod is more than an echo of the status that was written.
fn differs(old: &Pod, new: &Pod) -> bool {
    let others = |pod: &Pod| {
        let conditions = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        conditions
            .filter(|condition| !is_owned(&condition.type_))
            .cloned()
            .collect::<Vec<_>>()
    };
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || old.metadata.annotations != new.metadata.annotations
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || old.metadata.deletion_grace_period_seconds != new.metadata.deletion_grace_period_seconds
        || old.metadata.generation != new.metadata.generation
        || others(old) != others(new)
}

/// Enough of a pod to end it.
fn orphan(record: &ContainerRecord) -> Pod {
    let mut pod = Pod {
        spec: Some(PodSpec::default()),
        ..Pod::default()
    };
    pod.metadata.uid = Some(record.pod_uid.clone());
    pod.metadata.name = Some(record.pod_name.clone());
    pod.metadata.namespace = Some(record.pod_namespace.clone());
    pod
}

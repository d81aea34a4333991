//! Writes pod statuses to the API server, and deletes pods that have ended.
//!
//! Workers only say what the status is; one patch carries the newest one, however many came meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::Queue;
use client::workqueue::{Requeue, run};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::pod::members::PodView;
use crate::pod::status::status_patch;

const WRITERS: usize = 4;
/// What somebody else wrote into a status stands for so long, for those who wait for it; also, a watch that is behind
/// tells of statuses that were written over since.
const CORRECT_AFTER: Duration = Duration::from_secs(10);

struct Entry {
    namespace: String,
    name: String,
    /// UID of the object in the API, which for static pods is the mirror pod's.
    api_uid: Option<String>,
    /// As the API server has it.
    written: PodStatus,
    wanted: Option<PodStatus>,
    /// The pod has ended: delete it once its status is written.
    delete: bool,
}

/// Handle; clones share the queue.
#[derive(Clone)]
pub struct StatusWriter {
    client: Option<Client>,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    queue: Queue<String>,
}

impl StatusWriter {
    /// Without a client, statuses are only kept.
    pub fn new(client: Option<Client>) -> Self {
        Self {
            client,
            entries: Arc::default(),
            queue: Queue::new(),
        }
    }

    /// Notes what the API server has of a pod; `uid` is the worker's, which differs for static pods.
    pub fn observed(&self, uid: &str, from_api: &Pod) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_insert_with(|| Entry {
            namespace: from_api.namespace().to_owned(),
            name: from_api.name().to_owned(),
            api_uid: None,
            written: PodStatus::default(),
            wanted: None,
            delete: false,
        });
        let known = entry.api_uid.as_deref() == Some(from_api.uid());
        entry.api_uid = Some(from_api.uid().to_owned());
        entry.written = from_api.status.clone().unwrap_or_default();
        let differs = entry
            .wanted
            .as_ref()
            .is_some_and(|wanted| status_patch("", &entry.written, wanted).is_some());
        if !differs {
            return;
        }
        let delay = if known { CORRECT_AFTER } else { Duration::ZERO };
        self.queue.add_after(uid.to_owned(), delay);
    }

    /// The newest status of a pod.
    pub fn set(&self, pod: &Pod, status: PodStatus) {
        let uid = pod.uid().to_owned();
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.clone()).or_insert_with(|| Entry {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            api_uid: None,
            written: pod.status.clone().unwrap_or_default(),
            wanted: None,
            delete: false,
        });
        if entry.wanted.as_ref() == Some(&status) {
            return;
        }
        entry.wanted = Some(status);
        drop(entries);
        self.queue.add(uid);
    }

    /// The status that a worker last set.
    pub fn get(&self, uid: &str) -> Option<PodStatus> {
        self.entries
            .lock()
            .get(uid)
            .and_then(|entry| entry.wanted.clone())
    }

    /// All of the pod's containers have ended and its files are gone: it may be deleted from the API.
    pub fn delete(&self, pod: &Pod) {
        if let Some(entry) = self.entries.lock().get_mut(pod.uid()) {
            entry.delete = true;
        }
        self.queue.add(pod.uid().to_owned());
    }

    pub fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }

    /// Forgets a mirror pod that is no longer there.
    pub fn mirror_gone(&self, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(uid) {
            entry.api_uid = None;
            entry.written = PodStatus::default();
        }
    }

    /// Writes until `shutdown`, then what is left, for at most two seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let writer = self.clone();
        run("pod status", self.queue.clone(), WRITERS, shutdown, move |uid| {
            let writer = writer.clone();
            async move { writer.write(&uid).await.map(|()| Requeue::No) }
        })
        .await;
        let left: Vec<String> = self.entries.lock().keys().cloned().collect();
        let flush = futures::future::join_all(left.iter().map(|uid| self.write(uid)));
        if tokio::time::timeout(Duration::from_secs(2), flush).await.is_err() {
            tracing::warn!("not all pod statuses could be written before stopping");
        }
    }

    async fn write(&self, uid: &str) -> Result<(), kube::Error> {
        let Some(client) = &self.client else { return Ok(()) };
        let (namespace, name, api_uid, patch, wanted, delete) = {
            let entries = self.entries.lock();
            let Some(entry) = entries.get(uid) else {
                return Ok(());
            };
            let Some(api_uid) = entry.api_uid.clone() else {
                return Ok(());
            };
            let patch = entry
                .wanted
                .as_ref()
                .and_then(|wanted| status_patch(&api_uid, &entry.written, wanted));
            (
                entry.namespace.clone(),
                entry.name.clone(),
                api_uid,
                patch,
                entry.wanted.clone(),
                entry.delete,
            )
        };
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        if let Some(patch) = patch {
            match api
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(&patch))
                .await
            {
                Ok(_) => {
                    if let (Some(entry), Some(wanted)) = (self.entries.lock().get_mut(uid), wanted) {
                        entry.written = wanted;
                    }
                }
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if delete {
            let preconditions = Some(Preconditions {
                uid: Some(api_uid),
                resource_version: None,
            });
            let parameters = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions,
                ..DeleteParams::default()
            };
            match api.delete(&name, &parameters).await {
                Ok(_) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The pod is not there, or another one has its name.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || (status.code == 409 && status.message.contains("UID")) )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::ObjectMeta;

    fn pod(uid: &str, phase: &str) -> Pod {
        Pod {
            metadata: ObjectMeta {
                uid: Some(uid.to_owned()),
                ..ObjectMeta::default()
            },
            status: Some(PodStatus {
                phase: Some(phase.to_owned()),
                ..PodStatus::default()
            }),
            ..Pod::default()
        }
    }

    /// A status that a test or an operator set to Failed was Running again before any controller had seen it.
    #[test]
    fn what_somebody_else_wrote_stands_for_a_while_and_a_new_mirror_is_written_at_once() {
        let writer = StatusWriter::new(None);
        writer.observed("u", &pod("u", "Pending"));
        writer.set(&pod("u", "Pending"), pod("u", "Running").status.unwrap());
        assert_eq!(writer.queue.len(), 1, "news are written at once");
        let writer = StatusWriter::new(None);
        writer.observed("u", &pod("u", "Running"));
        writer.entries.lock().get_mut("u").unwrap().wanted = pod("u", "Running").status;
        writer.observed("u", &pod("u", "Failed"));
        assert_eq!(writer.queue.len(), 0);
        writer.observed("u", &pod("another", "Pending"));
        assert_eq!(writer.queue.len(), 1);
    }
}

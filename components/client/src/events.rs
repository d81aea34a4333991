//! Recording events: never blocks, never fails the caller, folds repetitions and limits floods.
//!
//! Rules as upstream's event correlator has them: the same event again becomes a higher count of the first
//! one; one source may begin 25 events about an object at once and one more every five minutes.

use std::time::Duration;

use ahash::AHashMap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::api::events::v1 as events_v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::supervise;

/// Waiting events beyond this are dropped: they are hints for people, not state.
const WAITING: usize = 1000;
const REMEMBERED: usize = 4096;
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    Normal,
    Warning,
}

impl Type {
    fn as_str(self) -> &'static str {
        match self {
            Type::Normal => "Normal",
            Type::Warning => "Warning",
        }
    }
}

/// Which API the events are written with. Upstream's scheduler uses the newer one, the others the core one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventApi {
    Core,
    EventsV1,
}

#[derive(Debug)]
struct Note {
    about: ObjectReference,
    related: Option<ObjectReference>,
    kind: Type,
    reason: String,
    action: String,
    message: String,
    at: Timestamp,
}

/// Handle to the recorder's task; clones share it.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Note>,
}

impl Recorder {
    /// Starts the task. `component` is the reporting controller, `instance` its host.
    pub fn start(client: Client, component: &str, instance: &str, api: EventApi) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Writer {
            client,
            component: component.to_owned(),
            instance: instance.to_owned(),
            api,
            seen: AHashMap::new(),
            buckets: AHashMap::new(),
        };
        // Its own supervisor: a note that makes it panic is lost, the next one is written. It ends with the
        // last handle.
        tokio::spawn(writer.run_on(receiver));
        Self { sender }
    }

    /// A recorder whose events go nowhere: for tests.
    pub fn discard() -> Self {
        Self {
            sender: mpsc::channel(1).0,
        }
    }

    pub fn event(&self, about: ObjectReference, kind: Type, reason: &str, message: impl Into<String>) {
        self.event_with_action(about, None, kind, reason, reason, message);
    }

    pub fn event_with_action(
        &self,
        about: ObjectReference,
        related: Option<ObjectReference>,
        kind: Type,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        let mut message = message.into();
        // The API allows 1,024 bytes.
        if message.len() > 1024 {
            let cut = (0..=1021)
                .rev()
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or_default();
            message.truncate(cut);
            message.push_str("...");
        }
        let note = Note {
            about,
            related,
            kind,
            reason: reason.to_owned(),
            action: action.to_owned(),
            message,
            at: Timestamp::now(),
        };
        if self.sender.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }
}

/// A reference to an object for an event, with everything that upstream fills in.
pub fn reference<K>(object: &K) -> ObjectReference
where
    K: Resource<DynamicType = ()>,
{
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

type Identity = (String, String, Type, String, String);

struct Seen {
    namespace: String,
    name: String,
    count: i32,
}

struct Writer {
    client: Client,
    component: String,
    instance: String,
    api: EventApi,
    seen: AHashMap<Identity, Seen>,
    buckets: AHashMap<String, (f64, Instant)>,
}

impl Writer {
    async fn run_on(mut self, mut receiver: mpsc::Receiver<Note>) {
        while supervise::caught("event recorder", self.run(&mut receiver))
            .await
            .is_none()
        {}
    }

    async fn run(&mut self, receiver: &mut mpsc::Receiver<Note>) {
        while let Some(note) = receiver.recv().await {
            if !self.admit(&note.about) {
                continue;
            }
            let reason = note.reason.clone();
            if let Err(error) = self.write(note).await {
                tracing::debug!(reason, %error, "event not recorded");
            }
        }
    }

    fn admit(&mut self, about: &ObjectReference) -> bool {
        if self.buckets.len() > REMEMBERED {
            self.buckets.clear();
        }
        let key = format!(
            "{}/{}/{}",
            about.kind.as_deref().unwrap_or_default(),
            about.namespace.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default()
        );
        let now = Instant::now();
        let (tokens, updated) = self.buckets.entry(key).or_insert((BURST, now));
        *tokens = (*tokens + updated.elapsed().as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *updated = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }

    async fn write(&mut self, note: Note) -> Result<(), kube::Error> {
        let namespace = note
            .about
            .namespace
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        let identity: Identity = (
            note.about.uid.clone().unwrap_or_default(),
            format!(
                "{}{}",
                note.about.name.as_deref().unwrap_or_default(),
                note.about.field_path.as_deref().unwrap_or_default()
            ),
            note.kind,
            note.reason.clone(),
            note.message.clone(),
        );
        if let Some(seen) = self.seen.get_mut(&identity) {
            seen.count = seen.count.saturating_add(1);
            let patch = match self.api {
                EventApi::Core => serde_json::json!({
                    "count": seen.count, "lastTimestamp": Time(note.at), "message": note.message,
                }),
                EventApi::EventsV1 => serde_json::json!({
                    "series": { "count": seen.count, "lastObservedTime": MicroTime(note.at) },
                }),
            };
            let (params, patch) = (PatchParams::default(), Patch::Strategic(&patch));
            let result = match self.api {
                EventApi::Core => Api::<Event>::namespaced(self.client.clone(), &seen.namespace)
                    .patch(&seen.name, &params, &patch)
                    .await
                    .map(|_| ()),
                EventApi::EventsV1 => {
                    Api::<events_v1::Event>::namespaced(self.client.clone(), &seen.namespace)
                        .patch(&seen.name, &params, &patch)
                        .await
                        .map(|_| ())
                }
            };
            match result {
                // The first one has expired: begin again.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other,
            }
        }
        let name = format!(
            "{}.{:x}",
            note.about.name.as_deref().unwrap_or_default(),
            u64::try_from(note.at.as_nanosecond()).unwrap_or_default()
        );
        self.create(&namespace, &name, note).await?;
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(
            identity,
            Seen {
                namespace,
                name,
                count: 1,
            },
        );
        Ok(())
    }

    async fn create(&self, namespace: &str, name: &str, note: Note) -> Result<(), kube::Error> {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        let params = PostParams::default();
        match self.api {
            EventApi::Core => {
                let event = Event {
                    metadata,
                    involved_object: note.about,
                    related: note.related,
                    reason: Some(note.reason),
                    message: Some(note.message),
                    source: Some(EventSource {
                        component: Some(self.component.clone()),
                        host: Some(self.instance.clone()).filter(|host| !host.is_empty()),
                    }),
                    first_timestamp: Some(Time(note.at)),
                    last_timestamp: Some(Time(note.at)),
                    count: Some(1),
                    type_: Some(note.kind.as_str().to_owned()),
                    reporting_component: Some(self.component.clone()),
                    reporting_instance: Some(self.instance.clone()),
                    ..Event::default()
                };
                Api::namespaced(self.client.clone(), namespace)
                    .create(&params, &event)
                    .await
                    .map(|_| ())
            }
            EventApi::EventsV1 => {
                let event = events_v1::Event {
                    metadata,
                    regarding: Some(note.about),
                    related: note.related,
                    reason: Some(note.reason),
                    action: Some(note.action),
                    note: Some(note.message),
                    event_time: Some(MicroTime(note.at)),
                    reporting_controller: Some(self.component.clone()),
                    reporting_instance: Some(format!("{}-{}", self.component, self.instance)),
                    type_: Some(note.kind.as_str().to_owned()),
                    ..events_v1::Event::default()
                };
                Api::namespaced(self.client.clone(), namespace)
                    .create(&params, &event)
                    .await
                    .map(|_| ())
            }
        }
    }
}

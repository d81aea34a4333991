//! Looks after other servers: whether they answer, and what they say of themselves.

use super::backend::Backend;
use super::condition::{Finding, needed, obstacle};
use super::discovery::from_resource_list;
use super::documents::{Documents, fetch};
use super::own_user;
use super::routes::Remote;
use super::{GROUP, openapi};
use crate::server::Server;
use crate::stores;
use apimachinery::managed_fields::Writer;
use apimachinery::{meta, time};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::{Change, ObjectRef, Preconditions, StorageError};
use tokio::time::Instant;

/// How often a server is looked at when nothing has happened.
const PERIOD: Duration = Duration::from_secs(30);
/// A failing server is looked at again after this, then after twice as long, up to [`PERIOD`].
const RETRY: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Attempts at once; one success is enough, for not all endpoints need to be well.
const ATTEMPTS: usize = 5;
const SETTLE: Duration = Duration::from_millis(5);

/// When each APIService is due for a look.
#[derive(Default)]
struct Agenda {
    /// What each depends on, as it was at the last look.
    seen: BTreeMap<String, u64>,
    due: BTreeMap<String, (Instant, Duration)>,
    running: BTreeSet<String>,
}

impl Agenda {
    /// All that have changed, or whose Service has, are due at once. `states` are of all that are there; gives those that no longer
    /// are.
    fn update(&mut self, states: BTreeMap<String, u64>, now: Instant) -> Vec<String> {
        self.due.retain(|name, _| states.contains_key(name));
        for (name, state) in &states {
            if self.seen.get(name) != Some(state) {
                let (due, _) = self.due.entry(name.clone()).or_insert((now, RETRY));
                *due = now;
            }
        }
        let mut before = std::mem::replace(&mut self.seen, states);
        before.retain(|name, _| !self.seen.contains_key(name));
        before.into_keys().collect()
    }

    /// Whether the APIService is still there.
    fn has(&self, name: &str) -> bool {
        self.seen.contains_key(name)
    }

    fn take_due(&mut self, now: Instant) -> Vec<String> {
        let due: Vec<String> = self
            .due
            .iter()
            .filter(|(name, (due, _))| *due <= now && !self.running.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &due {
            self.running.insert(name.clone());
            if let Some((due, _)) = self.due.get_mut(name) {
                *due = now + PERIOD;
            }
        }
        due
    }

    fn done(&mut self, name: &str, well: bool, now: Instant) {
        self.running.remove(name);
        if let Some((due, pause)) = self.due.get_mut(name) {
            if well {
                *pause = RETRY;
            } else {
                *due = (*due).min(now + *pause);
                *pause = (*pause * 2).min(PERIOD);
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due
            .iter()
            .filter(|(name, _)| !self.running.contains(*name))
            .map(|(_, (due, _))| *due)
            .min()
    }
}

/// Follows APIServices, their Services and endpoints. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let named = |group: &str, plural: &str| {
        server
            .stores
            .named(group, plural)
            .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    let services = named(GROUP, "apiservices")?;
    while let Err(error) = services.warm_up().await {
        tracing::warn!(%error, "the APIServices can't be loaded yet");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut changes = services.changes();
    let mut near = [
        named("", "services")?.changes(),
        named("discovery.k8s.io", "endpointslices")?.changes(),
    ];
    let mut agenda = Agenda::default();
    let mut looks = FuturesUnordered::new();
    loop {
        changes.mark_unchanged();
        near.iter_mut()
            .for_each(tokio::sync::watch::Receiver::mark_unchanged);
        server.aggregator.refresh(&server.stores);
        let states = services
            .cached(None)
            .iter()
            .map(|object| (object.name().to_owned(), state(&server, object)))
            .collect();
        for gone in agenda.update(states, Instant::now()) {
            server.aggregator.metrics.forget(&gone);
        }
        let others = server.aggregator.routes().remotes().next().is_some();
        loop {
            for name in agenda.take_due(Instant::now()) {
                looks.push(look(&server, name));
            }
            let next = agenda.next().unwrap_or_else(|| Instant::now() + PERIOD);
            let [service_changes, slice_changes] = &mut near;
            tokio::select! {
                Some((name, well)) = looks.next(), if !looks.is_empty() => {
                    agenda.done(&name, well, Instant::now());
                    if !agenda.has(&name) {
                        // It was deleted meanwhile, and the look has told of it again.
                        server.aggregator.metrics.forget(&name);
                    }
                    continue;
                }
                () = tokio::time::sleep_until(next) => continue,
                outcome = changes.changed() => outcome?,
                outcome = service_changes.changed(), if others => outcome?,
                outcome = slice_changes.changed(), if others => outcome?,
            }
            break;
        }
        tokio::time::sleep(SETTLE).await;
    }
}

/// A number for everything that a look at the APIService depends on in this cluster.
fn state(server: &Server, service: &ObjectRef) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    service.revision().value().hash(&mut hasher);
    let routes = server.aggregator.routes();
    let remote = routes.remotes().find(|remote| remote.name == service.name());
    if let Some(reference) = remote.and_then(|remote| remote.spec.service.as_ref()) {
        let (namespace, name) = (reference.namespace.as_str(), reference.name.as_str());
        let store = |group: &str, plural: &str| server.stores.named(group, plural);
        let service = store("", "services").and_then(|store| store.cached_object(namespace, name));
        service.map(|object| object.revision().value()).hash(&mut hasher);
        let slices = store("discovery.k8s.io", "endpointslices").map(|store| store.cached(Some(namespace)));
        for slice in slices.iter().flatten() {
            if slice.label("kubernetes.io/service-name") == Some(name) {
                slice.revision().value().hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

/// One look at one APIService; says whether it is well.
async fn look(server: &Server, name: String) -> (String, bool) {
    let Some(object) = server.stores.cached(GROUP, "apiservices", "", &name) else {
        server.aggregator.metrics.forget(&name);
        return (name, true);
    };
    let spec = |field: &str| object["spec"][field].as_str().unwrap_or("").to_owned();
    let (group, version) = (spec("group"), spec("version"));
    let remote = server.aggregator.routes().remote(&group, &version).cloned();
    let finding = match &remote {
        Some(remote) => examine(server, remote).await,
        None => Finding::local(),
    };
    let well = finding.status == "True";
    server.aggregator.metrics.set(&name, well);
    // Most are as they were; the cache tells of those that no longer are, and they are looked at again.
    if needed(&object, &finding, "").is_some()
        && let Err(error) = write(server, &name, &finding).await
    {
        tracing::warn!(name, %error, "the condition of an APIService can't be written");
    }
    if let (Some(remote), true) = (&remote, well) {
        let read = match &remote.backend {
            Ok(backend) => discovery(backend, &group, &version).await,
            Err(reason) => Err(reason.clone()),
        };
        if let Err(error) = &read {
            tracing::warn!(
                name,
                error,
                "the discovery document of an aggregated server can't be read"
            );
        }
        keep(&server.aggregator.documents, &group, &version, read.ok());
        if let Ok(backend) = &remote.backend {
            openapi::learn(&server.aggregator.documents, backend, &group, &version).await;
        }
    }
    (name, well)
}

async fn examine(server: &Server, remote: &Arc<Remote>) -> Finding {
    let Some(reference) = &remote.spec.service else {
        return Finding::local();
    };
    let service = server
        .stores
        .cached("", "services", &reference.namespace, &reference.name);
    let slices = server
        .stores
        .cached_list("discovery.k8s.io", "endpointslices", Some(&reference.namespace));
    if let Some(finding) = obstacle(reference, service.as_deref(), &slices) {
        return finding;
    }
    match probe(remote).await {
        Ok(()) => Finding::passed(),
        Err(message) => {
            let (group, version) = (&remote.spec.group, &remote.spec.version);
            keep(&server.aggregator.documents, group, version, None);
            Finding::failed_discovery(message)
        }
    }
}

/// The path of the discovery document that every server has.
fn discovery_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// Whether the server answers, whoever it is: what it says is not believed, so its certificate need not be.
async fn probe(remote: &Remote) -> Result<(), String> {
    let backend = remote.probe.as_ref().map_err(String::clone)?;
    let path = discovery_path(&remote.spec.group, &remote.spec.version);
    let attempt = || async {
        let authority = backend.authority().map_err(|error| error.to_string())?;
        let url = format!("https://{authority}{path}");
        let user = own_user();
        let asking = fetch(backend, &user, &path, "application/json", None);
        let missing = |why: String| format!("failing or missing response from {url}: {why}");
        match tokio::time::timeout(PATIENCE, asking).await {
            Err(_) => Err(missing(format!("Get {url:?}: context deadline exceeded"))),
            Ok(Err(error)) => Err(missing(format!("Get {url:?}: {error}"))),
            Ok(Ok(fetched)) if !fetched.status.is_success() => Err(missing(format!(
                "bad status from {url}: {}",
                fetched.status.as_u16()
            ))),
            Ok(Ok(_)) => Ok(()),
        }
    };
    let mut attempts: FuturesUnordered<_> = (0..ATTEMPTS).map(|_| attempt()).collect();
    let mut last = Err("no response".to_owned());
    while let Some(outcome) = attempts.next().await {
        last = outcome;
        if last.is_ok() {
            break;
        }
    }
    last
}

/// The discovery document of a server that has shown who it is.
async fn discovery(backend: &Backend, group: &str, version: &str) -> Result<Value, String> {
    let path = discovery_path(group, version);
    let user = own_user();
    let asking = fetch(backend, &user, &path, "application/json", None);
    let fetched = tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| "context deadline exceeded".to_owned())?
        .map_err(|error| error.to_string())?;
    if !fetched.status.is_success() {
        return Err(format!("bad status: {}", fetched.status.as_u16()));
    }
    let list = serde_json::from_slice::<Value>(&fetched.body).map_err(|error| error.to_string())?;
    Ok(from_resource_list(group, version, &list))
}

/// Keeps what was read, or that the last attempt failed.
fn keep(documents: &Documents, group: &str, version: &str, read: Option<Value>) {
    documents.change(group, version, |known| match read {
        None => !std::mem::replace(&mut known.stale, true),
        Some(read) => {
            let fresh = known.stale || known.discovery.as_deref() != Some(&read);
            known.stale = false;
            if fresh {
                known.discovery = Some(Arc::new(read));
            }
            fresh
        }
    });
}

async fn write(server: &Server, name: &str, finding: &Finding) -> Result<(), StorageError> {
    let Some(store) = server.stores.named(GROUP, "apiservices") else {
        return Ok(());
    };
    let now = time::format_time(jiff::Timestamp::now());
    let registry = server.registry.load_full();
    let Some(row) = registry.resource(GROUP, "v1", "apiservices") else {
        return Ok(());
    };
    let (row, now) = (&**row, now.as_str());
    let became = std::sync::atomic::AtomicBool::new(false);
    let seen = &became;
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok::<Change, StorageError>(Change::Nothing);
        };
        let current = stores::parse(&current)?;
        let Some(conditions) = needed(&current, finding, now) else {
            return Ok(Change::Nothing);
        };
        let mut object = current.clone();
        if !object["status"].is_object() {
            object["status"] = json!({});
        }
        object["status"]["conditions"] = conditions;
        let writer = Writer {
            manager: "kube-apiserver",
            subresource: "status",
            now,
        };
        api::managed::track_whole(row, Some(&current), &mut object, writer);
        meta::remove(&mut object, "resourceVersion");
        seen.store(finding.status != "True", std::sync::atomic::Ordering::Relaxed);
        Ok(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    store
        .update::<_, _, StorageError>("", name, &Preconditions::default(), decide)
        .await?;
    if became.into_inner() {
        server.aggregator.metrics.became_unavailable(name, finding.reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failing_servers_are_looked_at_more_often() {
        let mut agenda = Agenda::default();
        let start = Instant::now();
        let states = |a: u64, b: u64| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        assert!(agenda.update(states(1, 1), start).is_empty());
        assert_eq!(agenda.take_due(start), ["a", "b"]);
        assert!(agenda.take_due(start).is_empty(), "a look is under way");
        agenda.done("a", true, start);
        agenda.done("b", false, start);
        assert_eq!(agenda.next(), Some(start + RETRY));
        assert_eq!(agenda.take_due(start + RETRY), ["b"]);
        agenda.done("b", false, start + RETRY);
        assert_eq!(agenda.next(), Some(start + RETRY + RETRY * 2));
        assert!(agenda.update(states(2, 1), start).is_empty());
        assert_eq!(agenda.take_due(start), ["a"], "what has changed is due");
        let without_b = BTreeMap::from([("a".to_owned(), 2)]);
        assert_eq!(agenda.update(without_b, start), ["b"], "what is gone is told");
        assert!(agenda.has("a") && !agenda.has("b"));
    }
}

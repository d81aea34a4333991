//! Learning what other API servers serve, whenever one comes, goes or starts anew.

use super::documents::Served;
use super::metrics::{NotRead, SentOn};
use super::{Known, Peers, address};
use crate::aggregator::documents::fetch;
use crate::bootstrap::identity_lease;
use crate::identity::{ALL_AUTHENTICATED, User};
use crate::server::Server;
use crate::stores;
use crate::sync::SETTLE;
use apimachinery::GroupVersion;
use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use storage::{EventKind, ObjectRef, RequestedRevision, Store, WatchItem, WatchRequest};
use tokio::time::Instant;

/// Of this server alone, and of all for servers that don't know the difference.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,\
                      application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
const OWN_USER: &str = "system:apiserver";
/// Longest wait for one server's documents.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Who holds each server's lease, by the server's id. A server that starts anew holds it under another name.
type Holders = BTreeMap<String, String>;

/// Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let Some(peers) = &server.peers else {
        return std::future::pending().await;
    };
    server.lifecycle.after("informer-sync").await;
    tokio::try_join!(follow_definitions(&server, peers), follow_leases(&server, peers))?;
    Ok(())
}

fn store(server: &Server, group: &str, plural: &str) -> anyhow::Result<Store> {
    let store = server.stores.named(group, plural);
    store.ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
}

/// Keeps custom resources and aggregated servers out of what is known of the others.
async fn follow_definitions(server: &Server, peers: &Peers) -> anyhow::Result<()> {
    let services = store(server, crate::aggregator::GROUP, "apiservices")?;
    let mut changes = services.changes();
    let mut definitions = server.registry_changed.subscribe();
    loop {
        changes.mark_unchanged();
        definitions.mark_unchanged();
        let registry = server.registry.load_full();
        let custom = registry.iter().filter(|row| row.custom.is_some());
        let mut defined: HashSet<GroupVersion> = custom.map(|row| row.gvk.group_version()).collect();
        let services = server
            .stores
            .cached_list(crate::aggregator::GROUP, "apiservices", None);
        let remote = services.iter().map(|service| &service["spec"]);
        let remote = remote.filter(|spec| !spec["service"].is_null());
        defined.extend(remote.map(|spec| {
            let text = |field: &str| spec[field].as_str().unwrap_or_default();
            GroupVersion::new(text("group"), text("version"))
        }));
        peers.define(defined);
        tokio::select! {
            outcome = changes.changed() => outcome?,
            outcome = definitions.changed() => outcome?,
        }
    }
}

async fn follow_leases(server: &Server, peers: &Peers) -> anyhow::Result<()> {
    let leases = store(server, "coordination.k8s.io", "leases")?;
    let mut retry = FIRST_RETRY;
    loop {
        let request = WatchRequest {
            namespace: Some(identity_lease::NAMESPACE.to_owned()),
            revision: RequestedRevision::Any,
            ..WatchRequest::default()
        };
        let mut watcher = match leases.watch(request).await {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "leases of API servers can't be watched yet");
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
                continue;
            }
        };
        // It begins with all that there are.
        let mut holders = Holders::new();
        let mut due = Some(Instant::now() + SETTLE);
        loop {
            let look = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                item = watcher.next() => match item {
                    WatchItem::Event(event) => {
                        if take_in(&mut holders, &peers.own, event.kind, event.object()) {
                            due = Some(Instant::now() + SETTLE);
                            retry = FIRST_RETRY;
                        }
                    }
                    WatchItem::Bookmark { .. } => {}
                    WatchItem::Failed(error) => {
                        tracing::warn!(%error, "leases of API servers can't be watched");
                        tokio::time::sleep(FIRST_RETRY).await;
                        break;
                    }
                    _ => break,
                },
                () = look => {
                    due = None;
                    if !learn(server, peers, &holders).await {
                        due = Some(Instant::now() + retry);
                        retry = (retry * 2).min(LAST_RETRY);
                    }
                }
            }
        }
    }
}

/// Whether another server has come, gone or started anew.
fn take_in(holders: &mut Holders, own: &str, event: EventKind, object: &ObjectRef) -> bool {
    let id = object.name();
    let holder = match event {
        EventKind::Deleted => None,
        _ => stores::parse(object)
            .ok()
            .filter(|lease| id != own && identity_lease::is_servers(lease))
            .and_then(|lease| {
                let holder = lease["spec"]["holderIdentity"].as_str();
                holder.filter(|holder| !holder.is_empty()).map(str::to_owned)
            }),
    };
    match holder {
        Some(holder) => holders.insert(id.to_owned(), holder.clone()) != Some(holder),
        None => holders.remove(id).is_some(),
    }
}

/// Asks all of them. Whether all have answered; of those that are alive but don't answer, what was known stays.
async fn learn(server: &Server, peers: &Peers, holders: &Holders) -> bool {
    let asked = holders.keys().map(|id| async move {
        let known = peers.known.load().get(id).cloned();
        match tokio::time::timeout(PATIENCE, ask(server, peers, id)).await {
            Ok(Ok(served)) => (id, Some(Arc::new(served)), true),
            Ok(Err(failure)) => {
                note(peers, id, &failure);
                (id, known, false)
            }
            Err(_) => {
                note(peers, id, &Failure::Fetch("no answer in time".to_owned()));
                (id, known, false)
            }
        }
    });
    let asked = join_all(asked).await;
    let complete = asked.iter().all(|(_, _, answered)| *answered);
    let served = |(id, served, _): (&String, Option<Arc<Served>>, bool)| Some((id.clone(), served?));
    peers.replace(asked.into_iter().filter_map(served).collect::<Known>());
    complete
}

/// Why it isn't known what a server serves.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it has not told where it is reached: {0}")]
    Address(String),
    #[error("{0}")]
    Fetch(String),
}

fn note(peers: &Peers, id: &str, failure: &Failure) {
    let kind = match failure {
        Failure::Address(_) => "hostport_resolution",
        Failure::Fetch(_) => "fetch_discovery",
    };
    tracing::info!(id, %failure, "what another API server serves can't be learned yet");
    peers
        .metrics
        .not_read
        .get_or_create(&NotRead { r#type: kind })
        .inc();
}

async fn ask(server: &Server, peers: &Peers, id: &str) -> Result<Served, Failure> {
    let address = match address::of(server, id).await {
        Ok(Some(address)) => address,
        Ok(None) => return Err(Failure::Address("no address".to_owned())),
        Err(error) => return Err(Failure::Address(error.to_string())),
    };
    let backend = peers.backend(&address).map_err(Failure::Fetch)?;
    let user = User {
        name: OWN_USER.to_owned(),
        uid: OWN_USER.to_owned(),
        groups: vec![ALL_AUTHENTICATED.to_owned()],
        ..User::default()
    };
    let document = async |path: &str| {
        let fetched = fetch(&backend, &user, path, ACCEPT, None)
            .await
            .map_err(|error| Failure::Fetch(error.to_string()))?;
        let labels = SentOn {
            code: fetched.status.as_u16(),
            group: String::new(),
            version: String::new(),
            resource: String::new(),
        };
        peers.metrics.sent_on.get_or_create(&labels).inc();
        if fetched.status != StatusCode::OK {
            return Err(Failure::Fetch(format!("{path}: {}", fetched.status)));
        }
        serde_json::from_slice::<Value>(&fetched.body)
            .map_err(|error| Failure::Fetch(format!("{path}: {error}")))
    };
    let (core, named) = (document("/api").await?, document("/apis").await?);
    Served::read(core, named).ok_or_else(|| Failure::Fetch("it has no aggregated discovery".to_owned()))
}

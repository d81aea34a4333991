//! The other API servers of the cluster. What only another one serves is asked of that one, and discovery tells of it: so
//! an update from one version to the next doesn't look as if resources came and went (KEP-4020).

pub mod address;
mod documents;
mod exclusions;
pub mod follow;
mod merge;
mod metrics;
pub mod proxy;

use crate::aggregator::backend::{Backend, ProxyIdentity};
use crate::aggregator::discovery::Discovery;
use crate::request_info::RequestInfo;
use ahash::AHashMap;
use anyhow::{Context, bail};
use api::Registry;
use apimachinery::{GroupVersion, GroupVersionResource};
use arc_swap::ArcSwap;
use component_config::kube_apiserver::ApiServerFlags;
use documents::Served;
use exclusions::Exclusions;
use http::HeaderMap;
pub use metrics::PeerMetrics;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What upstream calls all of this.
pub const FEATURE: &str = "UnknownVersionInteroperabilityProxy";
/// Marks a request that another API server has sent on; it is answered here, whatever the answer.
const SENT_ON: &str = "x-kubernetes-peer-proxied";

/// What each of the others serves, by its server's id.
type Known = BTreeMap<String, Arc<Served>>;

/// What is known of the others, and how they are reached.
pub struct Peers {
    own: String,
    authorities: Authorities,
    identity: Arc<ProxyIdentity>,
    backends: Mutex<AHashMap<String, Arc<Backend>>>,
    known: ArcSwap<Known>,
    exclusions: Mutex<Exclusions>,
    core: Merged<Registry>,
    named: Merged<Discovery>,
    metrics: PeerMetrics,
}

/// Who vouches for the others, from `--peer-ca-file`.
pub struct Authorities {
    file: PathBuf,
    current: ArcSwap<Vec<u8>>,
}

impl Authorities {
    /// `None` unless the flags ask for it.
    pub fn load(flags: &ApiServerFlags) -> anyhow::Result<Option<Self>> {
        check(flags)?;
        let Some(file) = flags.peers.peer_ca_file.clone() else {
            return Ok(None);
        };
        let current = read(&file).context("--peer-ca-file")?;
        Ok(Some(Self {
            file,
            current: ArcSwap::from_pointee(current),
        }))
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    // Certificates that can't be used are told when the file is read, not with the first request.
    crate::serving::certificates::read_certificates(file)?;
    Ok(std::fs::read(file)?)
}

fn check(flags: &ApiServerFlags) -> anyhow::Result<()> {
    let given = &flags.peers;
    let on = crate::server::has_feature(flags, FEATURE);
    for (flag, is_given) in [
        ("--peer-ca-file", given.peer_ca_file.is_some()),
        ("--peer-advertise-ip", given.peer_advertise_ip.is_some()),
        ("--peer-advertise-port", given.peer_advertise_port.is_some()),
    ] {
        if is_given && !on {
            bail!("{flag} requires {FEATURE} feature to be turned on");
        }
    }
    if given.peer_advertise_ip.is_some() != given.peer_advertise_port.is_some() {
        bail!("--peer-advertise-ip and --peer-advertise-port belong together");
    }
    if given.peer_ca_file.is_some() && flags.proxy_client_cert_file.is_none() {
        bail!(
            "--peer-ca-file needs --proxy-client-cert-file and --proxy-client-key-file: by these the other API servers know this one"
        );
    }
    Ok(())
}

/// A document of all servers, made when first asked for. `T` is what this server's part of it is made of.
struct Merged<T>(Mutex<Option<Made<T>>>);

struct Made<T> {
    local: Arc<T>,
    known: Arc<Known>,
    document: Arc<Value>,
}

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl Peers {
    /// `own` is this server's id.
    pub fn new(
        own: String,
        authorities: Authorities,
        identity: Arc<ProxyIdentity>,
        metrics: PeerMetrics,
    ) -> Self {
        Self {
            own,
            authorities,
            identity,
            backends: Mutex::default(),
            known: ArcSwap::default(),
            exclusions: Mutex::default(),
            core: Merged::default(),
            named: Merged::default(),
            metrics,
        }
    }

    /// Reads the authorities anew.
    pub fn reload(&self) -> anyhow::Result<()> {
        let fresh = read(&self.authorities.file).context("--peer-ca-file")?;
        if **self.authorities.current.load() != fresh {
            self.authorities.current.store(Arc::new(fresh));
            self.backends.lock().clear();
        }
        Ok(())
    }

    /// The other servers that serve what a request is about, if this one doesn't and the request may be sent on.
    pub fn who_serves(&self, info: &RequestInfo, headers: &HeaderMap, registry: &Registry) -> Vec<String> {
        let known = self.known.load();
        if !info.is_resource || known.is_empty() {
            return Vec::new();
        }
        if registry
            .resource(&info.group, &info.version, &info.resource)
            .is_some()
            || headers.get(SENT_ON).is_some_and(|value| value == "true")
        {
            return Vec::new();
        }
        let wanted = GroupVersionResource::new(&info.group, &info.version, &info.resource);
        let serving = known.iter().filter(|(_, served)| served.has(&wanted));
        serving.map(|(id, _)| id.clone()).collect()
    }

    /// The document of `/api` for all servers; `local` is this server's part, made from its registry.
    pub fn core_document(&self, registry: &Arc<Registry>, local: impl FnOnce() -> Value) -> Arc<Value> {
        self.merged(&self.core, registry, |served| &served.core, local)
    }

    /// The document of `/apis` for all servers.
    pub fn named_document(&self, discovery: &Arc<Discovery>) -> Arc<Value> {
        let local = || discovery.aggregated.clone();
        self.merged(&self.named, discovery, |served| &served.named, local)
    }

    /// Counts a document of this server alone.
    pub fn asked_alone(&self) {
        self.metrics.alone.inc();
    }

    fn merged<T>(
        &self,
        made: &Merged<T>,
        by: &Arc<T>,
        part: impl Fn(&Served) -> &[Value],
        local: impl FnOnce() -> Value,
    ) -> Arc<Value> {
        let known = self.known.load_full();
        let mut made = made.0.lock();
        if let Some(made) = &*made
            && Arc::ptr_eq(&made.local, by)
            && Arc::ptr_eq(&made.known, &known)
        {
            self.metrics.from_cache.inc();
            return Arc::clone(&made.document);
        }
        self.metrics.made.inc();
        let mut document = local();
        let own = match document["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        // By their ids, this server's among them, so that all servers come to the same.
        let mut lists: Vec<(&str, &[Value])> = vec![(&self.own, &own)];
        lists.extend(known.iter().map(|(id, served)| (id.as_str(), part(served))));
        lists.sort_by_key(|(id, _)| *id);
        let lists: Vec<&[Value]> = lists.into_iter().map(|(_, groups)| groups).collect();
        document["items"] = Value::Array(merge::groups(&lists));
        let document = Arc::new(document);
        *made = Some(Made {
            local: Arc::clone(by),
            known: Arc::clone(&known),
            document: Arc::clone(&document),
        });
        document
    }

    /// The connections to another server at `address`.
    fn backend(&self, address: &str) -> Result<Arc<Backend>, String> {
        let mut backends = self.backends.lock();
        if let Some(backend) = backends.get(address).filter(|backend| backend.is_current()) {
            return Ok(Arc::clone(backend));
        }
        let authorities = self.authorities.current.load();
        let backend = Backend::of_peer(address, &authorities, Arc::clone(&self.identity))?;
        let backend = Arc::new(backend);
        backends.insert(address.to_owned(), Arc::clone(&backend));
        Ok(backend)
    }

    /// Takes what the others serve for known, without what every server learns by itself.
    fn replace(&self, known: Known) {
        let exclusions = self.exclusions.lock();
        self.known.store(Arc::new(without(known, &exclusions)));
    }

    /// Groups and versions of custom resources and aggregated servers, as they are now.
    fn define(&self, defined: HashSet<GroupVersion>) {
        let mut exclusions = self.exclusions.lock();
        exclusions.define(defined, Instant::now());
        let known = self.known.load();
        let fresh = without(Known::clone(&known), &exclusions);
        let same = fresh
            .iter()
            .all(|(id, served)| known.get(id).is_some_and(|old| Arc::ptr_eq(old, served)));
        if !same {
            self.known.store(Arc::new(fresh));
        }
    }
}

fn without(mut known: Known, exclusions: &Exclusions) -> Known {
    let now = Instant::now();
    for served in known.values_mut() {
        if let Some(fewer) = served.without(|version| exclusions.covers(version, now)) {
            *served = Arc::new(fewer);
        }
    }
    known
}

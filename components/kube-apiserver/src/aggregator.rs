//! Aggregated API servers: groups and versions that another server serves behind this one.

pub mod availability;
pub mod backend;
pub mod condition;
pub mod discovery;
pub mod documents;
pub mod keeper;
pub mod metrics;
pub mod openapi;
pub mod order;
pub mod proxy;
pub mod registration;
pub mod routes;
pub mod service;

use crate::connect::egress::Egress;
use crate::identity::{MASTERS, User};
use crate::stores::Stores;
use crate::webhook::Resolver;
use arc_swap::ArcSwap;
use backend::{Backend, ProxyIdentity};
use documents::Documents;
use routes::Routes;
use service::ApiService;
use std::sync::Arc;

pub const GROUP: &str = "apiregistration.k8s.io";

/// What is known of other servers.
pub struct Aggregator {
    routes: ArcSwap<Routes>,
    pub identity: Arc<ProxyIdentity>,
    resolver: Arc<Resolver>,
    egress: Egress,
    pub documents: Documents,
    pub merged: discovery::Merged,
    pub metrics: metrics::AggregatorMetrics,
}

impl Aggregator {
    pub fn new(identity: ProxyIdentity, resolver: Arc<Resolver>, egress: Egress) -> Self {
        Self {
            routes: ArcSwap::default(),
            identity: Arc::new(identity),
            resolver,
            egress,
            documents: Documents::default(),
            merged: discovery::Merged::default(),
            metrics: metrics::AggregatorMetrics::default(),
        }
    }

    pub fn routes(&self) -> arc_swap::Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// Reads all APIServices anew.
    pub fn refresh(&self, stores: &Stores) {
        let Some(store) = stores.named(GROUP, "apiservices") else {
            return;
        };
        let read =
            |object: &storage::ObjectRef| match serde_json::from_slice::<ApiService>(object.json_bytes()) {
                Ok(service) => Some(service),
                Err(error) => {
                    // One bad object must not take the other servers away.
                    tracing::error!(key = object.key(), %error, "an APIService can't be read");
                    None
                }
            };
        let services = store.cached(None).iter().filter_map(read).collect();
        let previous = self.routes.load_full();
        let next = Routes::build(services, &previous, |spec| {
            let (identity, resolver) = (Arc::clone(&self.identity), Arc::clone(&self.resolver));
            Backend::new(spec, identity, resolver, &self.egress).map(Arc::new)
        });
        self.documents.keep_only(&next);
        self.routes.store(Arc::new(next));
    }
}

/// Who asks other servers for their health and documents; may do everything there.
pub fn own_user() -> User {
    User {
        name: "system:kube-aggregator".to_owned(),
        groups: vec![MASTERS.to_owned()],
        ..User::default()
    }
}

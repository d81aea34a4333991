//! The server's parts, put together.

use crate::admission::Admission;
use crate::aggregator::Aggregator;
use crate::audit::Audit;
use crate::authentication::Authenticator;
use crate::authorization::Authorizer;
use crate::build_info::BuildInfo;
use crate::connect::backend::Backends;
use crate::connect::egress::Egress;
use crate::flow_control::FlowControl;
use crate::inflight::InFlight;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::serving::browsers::Browsers;
use crate::stores::Stores;
use crate::tokens::issue::TokenIssuer;
use crate::traces::Traces;
use crate::webhook::Clients;
use arc_swap::ArcSwap;
use component_config::kube_apiserver::ApiServerFlags;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Everything that request handlers use.
pub struct Server {
    /// Its name among the API servers of the cluster.
    pub id: String,
    pub flags: ApiServerFlags,
    pub build: BuildInfo,
    pub started: jiff::Timestamp,
    pub browsers: Browsers,
    /// `address:port` under which clients outside this host reach the server.
    pub advertised: String,
    pub advertise: std::net::IpAddr,
    pub port: u16,
    pub registry: Arc<ArcSwap<api::Registry>>,
    /// Told after the registry was replaced.
    pub registry_changed: watch::Sender<()>,
    pub stores: Stores,
    /// Encryption at rest.
    pub encryption: storage::Transformers,
    pub authenticator: Authenticator,
    pub authorizer: Arc<Authorizer>,
    pub issuer: Arc<TokenIssuer>,
    pub aggregator: Aggregator,
    /// `None` unless requests may be sent on to other API servers.
    pub peers: Option<Peers>,
    pub inflight: InFlight,
    /// `None` leaves it at the plain limits of `inflight`.
    pub flow_control: Option<Arc<FlowControl>>,
    pub lifecycle: Lifecycle,
    pub metrics: Metrics,
    /// `None` unless a collector is told spans.
    pub traces: Option<Traces>,
    pub audit: Audit,
    pub backends: Backends,
    pub egress: Egress,
    pub admission: Admission,
    pub webhooks: Clients,
    pub openapi: crate::handlers::openapi::documents::Documents,
    /// Detached handlers; the process waits for them when it stops.
    pub tracker: TaskTracker,
}

impl Server {
    /// Whether a feature of upstream's is on: as --feature-gates say, or by default in the version that is emulated.
    pub fn has_feature(&self, name: &str) -> bool {
        has_feature(&self.flags, name)
    }
}

/// The same, of a command line.
pub fn has_feature(flags: &ApiServerFlags, name: &str) -> bool {
    flags.has_feature(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of kinds have defaults of their own, for those who have no command line.
    #[test]
    fn features_of_kinds_are_gates_with_the_same_default() {
        let line = [
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--service-account-issuer=https://x",
        ];
        let flags = component_config::kube_apiserver::parse(line.map(str::to_owned)).unwrap();
        for feature in api::Feature::ALL {
            let known = component_config::kube_apiserver::GATES;
            assert!(
                known.iter().any(|gate| gate.name == feature.name()),
                "{feature:?}"
            );
            assert_eq!(
                has_feature(&flags, feature.name()),
                feature.default(),
                "{feature:?}"
            );
        }
    }
}

//! How long the tokens of issuers took to check, under upstream's name.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
    jwt_issuer_hash: String,
}

/// Upstream's.
const DURATIONS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Of tokens that weren't known already.
pub struct JwtMetrics(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for JwtMetrics {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(DURATIONS)))
    }
}

impl JwtMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_authentication_jwt_authenticator_latency_seconds",
            "Time that checking the tokens of issuers took",
            self.0.clone(),
        );
    }

    pub fn checked(&self, issuer: &str, good: bool, took: Duration) {
        let labels = Labels {
            result: if good { "success" } else { "failure" },
            jwt_issuer_hash: format!("sha256:{}", hex::encode(Sha256::digest(issuer))),
        };
        self.0.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

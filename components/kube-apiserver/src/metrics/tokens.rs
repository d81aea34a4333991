//! How tokens were checked.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

/// Upstream's default buckets.
const DURATIONS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The cache of outcomes, and the tokens of service accounts.
#[derive(Clone, Debug)]
pub struct TokenMetrics {
    requests: Family<StatusLabels, Counter>,
    durations: Family<StatusLabels, Histogram, fn() -> Histogram>,
    fetches: Family<StatusLabels, Counter>,
    active: Family<StatusLabels, Gauge>,
    legacy: Counter,
    legacy_auto: Counter,
    legacy_manual: Counter,
    legacy_invalid: Counter,
    stale: Counter,
    valid: Counter,
}

impl Default for TokenMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            fetches: Family::default(),
            active: Family::default(),
            legacy: Counter::default(),
            legacy_auto: Counter::default(),
            legacy_manual: Counter::default(),
            legacy_invalid: Counter::default(),
            stale: Counter::default(),
            valid: Counter::default(),
        }
    }
}

impl TokenMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let cache = registry.sub_registry_with_prefix("authentication_token_cache");
        cache.register(
            "request",
            "Looks into the cache of checked tokens",
            self.requests.clone(),
        );
        cache.register(
            "request_duration_seconds",
            "Time until a token's outcome was known",
            self.durations.clone(),
        );
        cache.register("fetch", "Tokens that were checked", self.fetches.clone());
        cache.register(
            "active_fetch_count",
            "Tokens that are being checked",
            self.active.clone(),
        );
        let accounts = registry.sub_registry_with_prefix("serviceaccount");
        accounts.register(
            "legacy_tokens",
            "Uses of tokens that are kept in secrets",
            self.legacy.clone(),
        );
        accounts.register(
            "legacy_auto_token_uses",
            "Those of secrets that were made for each account, before v1.24",
            self.legacy_auto.clone(),
        );
        accounts.register(
            "legacy_manual_token_uses",
            "Those of secrets that somebody made",
            self.legacy_manual.clone(),
        );
        accounts.register(
            "invalid_legacy_auto_token_uses",
            "Attempts with tokens whose secrets are marked invalid",
            self.legacy_invalid.clone(),
        );
        accounts.register(
            "stale_tokens",
            "Uses of tokens that should have been renewed",
            self.stale.clone(),
        );
        accounts.register(
            "valid_tokens",
            "Uses of tokens within their time",
            self.valid.clone(),
        );
    }

    /// A token was looked up.
    pub fn asked(&self, hit: bool, elapsed: Duration) {
        let labels = StatusLabels {
            status: if hit { "hit" } else { "miss" },
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// Counts a check as running until dropped.
    pub fn fetching(&self) -> Fetching {
        let active = self
            .active
            .get_or_create(&StatusLabels { status: "in_flight" })
            .clone();
        active.inc();
        Fetching(active)
    }

    /// A check ended; it failed if the token was refused.
    pub fn fetched(&self, ok: bool) {
        let status = if ok { "ok" } else { "error" };
        self.fetches.get_or_create(&StatusLabels { status }).inc();
    }

    /// A token that names no audience was presented, as those kept in secrets do not.
    pub fn legacy(&self) {
        self.legacy.inc();
    }

    /// A token kept in a secret was taken; `auto` if the account has the secret among its own.
    pub fn legacy_use(&self, auto: bool) {
        if auto {
            &self.legacy_auto
        } else {
            &self.legacy_manual
        }
        .inc();
    }

    /// One was refused since its secret is marked invalid.
    pub fn legacy_invalid(&self) {
        self.legacy_invalid.inc();
    }

    /// A bound token with a time at which to renew it was taken; `stale` if that is over.
    pub fn bound(&self, stale: bool) {
        if stale { &self.stale } else { &self.valid }.inc();
    }
}

/// A check that runs.
pub struct Fetching(Gauge);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let mut registry = Registry::default();
        let metrics = TokenMetrics::default();
        metrics.register(&mut registry);
        drop(metrics.fetching());
        let running = metrics.fetching();
        metrics.fetched(false);
        metrics.asked(true, Duration::from_millis(1));
        metrics.bound(true);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        drop(running);
        for line in [
            "authentication_token_cache_active_fetch_count{status=\"in_flight\"} 1",
            "authentication_token_cache_fetch_total{status=\"error\"} 1",
            "authentication_token_cache_request_total{status=\"hit\"} 1",
            "authentication_token_cache_request_duration_seconds_count{status=\"hit\"} 1",
            "serviceaccount_stale_tokens_total 1",
            "serviceaccount_valid_tokens_total 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}

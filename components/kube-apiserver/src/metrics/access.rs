//! Who was let in, who was allowed what, and which configuration of that is in use.

use crate::authorization::Decision;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UserLabels {
    username: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    status: &'static str,
    apiserver_id_hash: String,
}

/// One outcome, looked up once.
#[derive(Clone)]
struct Outcome<C> {
    count: C,
    durations: Histogram,
}

/// A file that is followed while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    Authentication,
    Authorization,
    Encryption,
}

impl Followed {
    fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Encryption => "encryption",
        }
    }
}

struct Reloads {
    of: Followed,
    count: Family<ReloadLabels, Counter>,
    last: Family<ReloadLabels, Gauge>,
}

/// Authentication, authorization and the reloads of their files.
pub struct AccessMetrics {
    // Upstream's counters without `_total` in their names.
    users: Family<UserLabels, Gauge>,
    authenticated: Outcome<Gauge>,
    refused: Outcome<Gauge>,
    allowed: Outcome<Counter>,
    denied: Outcome<Counter>,
    undecided: Outcome<Counter>,
    certificates: Histogram,
    reloads: [Reloads; 3],
    server: String,
}

/// Upstream's, from half an hour to a year.
const EXPIRATIONS: [f64; 15] = [
    0.0,
    1_800.0,
    3_600.0,
    7_200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
    62_208_000.0,
];

impl AccessMetrics {
    /// `server` tells this server from others.
    pub fn register(registry: &mut Registry, server: String) -> Self {
        let durations = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let attempts = Family::<ResultLabels, Gauge>::default();
        let authentication = Family::<ResultLabels, Histogram>::new_with_constructor(durations);
        let decisions = Family::<ResultLabels, Counter>::default();
        let authorization = Family::<ResultLabels, Histogram>::new_with_constructor(durations);
        let users = Family::<UserLabels, Gauge>::default();
        let certificates = Histogram::new(EXPIRATIONS);
        registry.register(
            "authenticated_user_requests",
            "Requests by kind of user",
            users.clone(),
        );
        registry.register(
            "authentication_attempts",
            "Requests by whether it was found out who sent them",
            attempts.clone(),
        );
        registry.register(
            "authentication_duration_seconds",
            "Time to find out who sent a request",
            authentication.clone(),
        );
        registry.register(
            "authorization_attempts",
            "Requests by decision",
            decisions.clone(),
        );
        registry.register(
            "authorization_duration_seconds",
            "Time to decide about a request",
            authorization.clone(),
        );
        registry.register(
            "apiserver_client_certificate_expiration_seconds",
            "What was left of clients' certificates",
            certificates.clone(),
        );
        let reloads = [
            Followed::Authentication,
            Followed::Authorization,
            Followed::Encryption,
        ]
        .map(|of| {
            let prefix = format!("apiserver_{}_config_controller_automatic_reload", of.name());
            let (count, last) = (Family::default(), Family::default());
            registry.register(
                format!("{prefix}s"),
                "Reloads of a configuration file",
                Family::clone(&count),
            );
            registry.register(
                format!("{prefix}_last_timestamp_seconds"),
                "When a configuration file was last reloaded",
                Family::clone(&last),
            );
            Reloads { of, count, last }
        });
        let result = |result| ResultLabels { result };
        let outcome = |name| Outcome {
            count: attempts.get_or_create(&result(name)).clone(),
            durations: authentication.get_or_create(&result(name)).clone(),
        };
        let decision = |name| Outcome {
            count: decisions.get_or_create(&result(name)).clone(),
            durations: authorization.get_or_create(&result(name)).clone(),
        };
        Self {
            authenticated: outcome("success"),
            refused: outcome("failure"),
            allowed: decision("allowed"),
            denied: decision("denied"),
            undecided: decision("no-opinion"),
            users,
            certificates,
            reloads,
            server,
        }
    }

    /// A request whose sender is known, or was refused.
    pub fn authenticated(&self, user: Option<&str>, elapsed: Duration) {
        let outcome = if user.is_some() {
            &self.authenticated
        } else {
            &self.refused
        };
        outcome.count.inc();
        outcome.durations.observe(elapsed.as_secs_f64());
        if let Some(user) = user {
            let username = kind_of_user(user);
            self.users.get_or_create(&UserLabels { username }).inc();
        }
    }

    /// A request's certificate ends at this time, in seconds since 1970.
    pub fn certificate(&self, expires: i64) {
        self.certificates.observe((expires - now()) as f64);
    }

    pub fn decided(&self, decision: &Decision, elapsed: Duration) {
        let outcome = match decision {
            Decision::Allow(_) => &self.allowed,
            Decision::Deny(_) => &self.denied,
            Decision::NoOpinion(_) => &self.undecided,
        };
        outcome.count.inc();
        outcome.durations.observe(elapsed.as_secs_f64());
    }

    /// A changed file was taken or refused.
    pub fn reloaded(&self, of: Followed, success: bool) {
        let labels = ReloadLabels {
            status: if success { "success" } else { "failure" },
            apiserver_id_hash: self.server.clone(),
        };
        for reloads in self.reloads.iter().filter(|reloads| reloads.of == of) {
            reloads.count.get_or_create(&labels).inc();
            reloads.last.get_or_create(&labels).set(now());
        }
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

/// Users in few kinds, as upstream has them.
fn kind_of_user(user: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "admin",
        "client",
        "kube_proxy",
        "kubelet",
        "system:serviceaccount:kube-system:default",
    ];
    match KNOWN.into_iter().find(|known| *known == user) {
        Some(known) => known,
        None if user.contains('@') => "email_id",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let mut registry = Registry::default();
        let metrics = AccessMetrics::register(&mut registry, "sha256:a".to_owned());
        metrics.authenticated(Some("admin"), Duration::from_millis(3));
        metrics.authenticated(Some("a@b"), Duration::ZERO);
        metrics.authenticated(None, Duration::ZERO);
        metrics.decided(&Decision::Allow(String::new()), Duration::ZERO);
        metrics.certificate(now() + 5000);
        metrics.reloaded(Followed::Authorization, false);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "authenticated_user_requests{username=\"admin\"} 1",
            "authenticated_user_requests{username=\"email_id\"} 1",
            "authentication_attempts{result=\"success\"} 2",
            "authentication_attempts{result=\"failure\"} 1",
            "authentication_duration_seconds_bucket{le=\"0.004\",result=\"success\"} 2",
            "authorization_attempts_total{result=\"allowed\"} 1",
            "authorization_attempts_total{result=\"denied\"} 0",
            "authorization_duration_seconds_count{result=\"allowed\"} 1",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"3600.0\"} 0",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"7200.0\"} 1",
            "apiserver_authorization_config_controller_automatic_reloads_total{status=\"failure\",apiserver_id_hash=\"sha256:a\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}

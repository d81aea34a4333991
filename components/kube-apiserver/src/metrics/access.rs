//! Who was let in, who was allowed what, and which configuration of that is in use.

use crate::authorization::{Decision, Verdict};
use daemon::metrics::PlainCounter;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use storage::metrics::AtomicHistogram;

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
    durations: AtomicHistogram,
}

/// Steps on a request's way that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Authentication,
    Audit,
    Impersonation,
    /// The same where rights to it may be limited.
    ConstrainedImpersonation,
    PriorityAndFairness,
    Authorization,
}

impl Step {
    const ALL: [Self; 6] = [
        Self::Authentication,
        Self::Audit,
        Self::Impersonation,
        Self::ConstrainedImpersonation,
        Self::PriorityAndFairness,
        Self::Authorization,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Audit => "audit",
            Self::Impersonation => "impersonation",
            Self::ConstrainedImpersonation => "constrainedimpersonation",
            Self::PriorityAndFairness => "priorityandfairness",
            Self::Authorization => "authorization",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    filter: &'static str,
}

/// Upstream's.
const STEPS: [f64; 13] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 10.0, 15.0, 30.0,
];
/// From 1 ms on, each twice the one before.
const DECISIONS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InUseLabels {
    apiserver_id_hash: String,
    hash: String,
}

struct Reloads {
    of: Followed,
    count: Family<ReloadLabels, Counter>,
    last: Family<ReloadLabels, Gauge>,
    in_use: Family<InUseLabels, Gauge>,
}

/// Authentication, authorization and the reloads of their files.
pub struct AccessMetrics {
    // Upstream's counters without `_total` in their names.
    users: [PlainCounter; USERS.len()],
    authenticated: Outcome<PlainCounter>,
    refused: Outcome<PlainCounter>,
    allowed: Outcome<Counter>,
    denied: Outcome<Counter>,
    undecided: Outcome<Counter>,
    failed: Outcome<Counter>,
    certificates: AtomicHistogram,
    steps: [AtomicHistogram; Step::ALL.len()],
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
        let durations: fn() -> AtomicHistogram = || AtomicHistogram::new(&DECISIONS);
        let attempts = Family::<ResultLabels, PlainCounter>::default();
        let authentication = Family::<ResultLabels, AtomicHistogram, _>::new_with_constructor(durations);
        let decisions = Family::<ResultLabels, Counter>::default();
        let authorization = Family::<ResultLabels, AtomicHistogram, _>::new_with_constructor(durations);
        let users = Family::<UserLabels, PlainCounter>::default();
        let certificates = AtomicHistogram::new(&EXPIRATIONS);
        let filters =
            Family::<StepLabels, AtomicHistogram, _>::new_with_constructor(|| AtomicHistogram::new(&STEPS));
        let steps = Step::ALL.map(|step| filters.get_or_create_owned(&StepLabels { filter: step.name() }));
        registry.register(
            "apiserver_request_filter_duration_seconds",
            "Time that steps on a request's way took",
            filters,
        );
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
            let in_use = Family::default();
            registry.register(
                format!("apiserver_{}_config_controller_last_config_info", of.name()),
                "Which configuration file is in use, by its hash",
                Family::clone(&in_use),
            );
            Reloads {
                of,
                count,
                last,
                in_use,
            }
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
        let users = USERS.map(|username| users.get_or_create_owned(&UserLabels { username }));
        Self {
            steps,
            authenticated: outcome("success"),
            refused: outcome("failure"),
            allowed: decision("allowed"),
            denied: decision("denied"),
            undecided: decision("no-opinion"),
            failed: decision("error"),
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
        self.step(Step::Authentication, elapsed);
        if let Some(user) = user {
            self.users[kind_of_user(user)].inc();
        }
    }

    /// A step on a request's way took this long.
    pub fn step(&self, step: Step, elapsed: Duration) {
        self.steps[step as usize].observe(elapsed.as_secs_f64());
    }

    /// A request's certificate ends at this time, in seconds since 1970.
    pub fn certificate(&self, expires: i64) {
        self.certificates.observe((expires - now()) as f64);
    }

    pub fn decided(&self, verdict: &Verdict, elapsed: Duration) {
        let outcome = match &verdict.decision {
            Decision::Allow(_) => &self.allowed,
            _ if verdict.error.is_some() => &self.failed,
            Decision::Deny(_) => &self.denied,
            Decision::NoOpinion(_) => &self.undecided,
        };
        outcome.count.inc();
        outcome.durations.observe(elapsed.as_secs_f64());
        self.step(Step::Authorization, elapsed);
    }

    /// What a file that is in use says.
    pub fn in_use(&self, of: Followed, text: &str) {
        let labels = InUseLabels {
            apiserver_id_hash: self.server.clone(),
            hash: format!("sha256:{}", hex::encode(Sha256::digest(text))),
        };
        for reloads in self.reloads.iter().filter(|reloads| reloads.of == of) {
            reloads.in_use.clear();
            reloads.in_use.get_or_create(&labels).set(1);
        }
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
const USERS: [&str; 7] = [
    "admin",
    "client",
    "kube_proxy",
    "kubelet",
    "system:serviceaccount:kube-system:default",
    "email_id",
    "other",
];
const EMAIL: usize = 5;
const OTHER: usize = 6;

/// The user's place in [`USERS`].
fn kind_of_user(user: &str) -> usize {
    match USERS[..EMAIL].iter().position(|known| *known == user) {
        Some(known) => known,
        None if user.contains('@') => EMAIL,
        None => OTHER,
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
        metrics.decided(&Decision::Allow(String::new()).into(), Duration::ZERO);
        metrics.certificate(now() + 5000);
        metrics.reloaded(Followed::Authorization, false);
        metrics.in_use(Followed::Authentication, "a");
        metrics.in_use(Followed::Authentication, "");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "authenticated_user_requests{username=\"admin\"} 1",
            "authenticated_user_requests{username=\"email_id\"} 1",
            "authenticated_user_requests{username=\"other\"} 0",
            "apiserver_request_filter_duration_seconds_count{filter=\"authentication\"} 3",
            "apiserver_request_filter_duration_seconds_bucket{le=\"0.003\",filter=\"authentication\"} 3",
            "authentication_attempts{result=\"success\"} 2",
            "authentication_attempts{result=\"failure\"} 1",
            "authentication_duration_seconds_bucket{le=\"0.004\",result=\"success\"} 2",
            "authorization_attempts_total{result=\"allowed\"} 1",
            "authorization_attempts_total{result=\"denied\"} 0",
            "authorization_duration_seconds_count{result=\"allowed\"} 1",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"3600.0\"} 0",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"7200.0\"} 1",
            "apiserver_authentication_config_controller_last_config_info{apiserver_id_hash=\"sha256:a\",hash=\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"} 1",
            "apiserver_authorization_config_controller_automatic_reloads_total{status=\"failure\",apiserver_id_hash=\"sha256:a\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        let in_use = text.matches("\napiserver_authentication_config_controller_last_config_info{");
        assert_eq!(in_use.count(), 1, "{text}");
    }
}

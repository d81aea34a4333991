//! Leader election by Lease, with upstream's timing and its rule that the holder's clock is never compared
//! with ours: only how long the record has stayed unchanged counts.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a daemon takes part in an election; defaults are upstream's.
#[derive(Clone, Debug)]
pub struct Election {
    pub namespace: String,
    pub name: String,
    /// Unique per process: host name and a random part.
    pub identity: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl Election {
    pub fn new(namespace: &str, name: &str, host_name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!(
                "{host_name}_{:016x}{:016x}",
                rand::random::<u64>(),
                rand::random::<u64>()
            ),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// How an election ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `shutdown` was cancelled; the lease was released if it was ours.
    Stopped,
    /// The lease could not be renewed in time. The caller must stop acting at once.
    Lost,
    /// What was led has ended by itself.
    Ended,
}

/// Waits to become the leader, then runs `lead` until it ends, leadership is lost or `shutdown` is cancelled.
///
/// `lead` is dropped when leadership is lost, so no effect happens after that.
pub async fn run<F, Fut>(client: Client, election: Election, shutdown: CancellationToken, lead: F) -> Outcome
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()>,
{
    let mut elector = Elector {
        api: Api::namespaced(client, &election.namespace),
        election,
        observed: None,
        observed_at: Instant::now(),
    };
    loop {
        match elector.try_acquire_or_renew().await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(lease = elector.election.name, %error, "cannot take part in the election")
            }
        }
        let wait = elector
            .election
            .retry_period
            .mul_f64(1.0 + rand::random::<f64>() * 0.2);
        tokio::select! {
            () = shutdown.cancelled() => return Outcome::Stopped,
            () = tokio::time::sleep(wait) => {}
        }
    }
    tracing::info!(
        lease = elector.election.name,
        identity = elector.election.identity,
        "became leader"
    );
    let outcome = {
        let mut lead = std::pin::pin!(lead());
        let mut renewed = Instant::now();
        let mut next = Instant::now() + elector.election.retry_period;
        loop {
            let deadline = renewed + elector.election.renew_deadline;
            let renewal = async {
                tokio::time::sleep_until(next).await;
                tokio::time::timeout_at(deadline, elector.try_acquire_or_renew()).await
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break Outcome::Stopped,
                result = renewal => {
                    match result {
                        Ok(Ok(true)) => renewed = Instant::now(),
                        Ok(Ok(false)) => break Outcome::Lost,
                        Ok(Err(error)) => tracing::warn!(%error, "cannot renew the leader lease"),
                        Err(_) => {}
                    }
                    if Instant::now() >= renewed + elector.election.renew_deadline {
                        break Outcome::Lost;
                    }
                    next = Instant::now() + elector.election.retry_period;
                }
                () = &mut lead => break Outcome::Ended,
            }
        }
    };
    if outcome != Outcome::Lost {
        elector.release().await;
    }
    outcome
}

struct Elector {
    api: Api<Lease>,
    election: Election,
    observed: Option<LeaseSpec>,
    observed_at: Instant,
}

impl Elector {
    async fn try_acquire_or_renew(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(lease) = self.api.get_opt(&self.election.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.election.name.clone()),
                    namespace: Some(self.election.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.claim(now.clone(), now, 0)),
            };
            return match self.api.create(&PostParams::default(), &lease).await {
                Ok(created) => {
                    self.observe(created.spec);
                    Ok(true)
                }
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
                Err(error) => Err(error),
            };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.observed.as_ref() != Some(&spec) {
            self.observe(Some(spec.clone()));
        }
        let ours = spec.holder_identity.as_deref() == Some(self.election.identity.as_str());
        let held = spec
            .holder_identity
            .as_deref()
            .is_some_and(|holder| !holder.is_empty());
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(self.election.lease_duration, Duration::from_secs);
        if !ours && held && self.observed_at.elapsed() < duration {
            return Ok(false);
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        let claim = if ours {
            self.claim(spec.acquire_time.unwrap_or_else(|| now.clone()), now, transitions)
        } else {
            self.claim(now.clone(), now, transitions.saturating_add(1))
        };
        let updated = Lease {
            metadata: lease.metadata,
            spec: Some(claim),
        };
        match self
            .api
            .replace(&self.election.name, &PostParams::default(), &updated)
            .await
        {
            Ok(stored) => {
                self.observe(stored.spec);
                Ok(true)
            }
            // Somebody else was faster; for a leader the next try decides.
            Err(kube::Error::Api(status)) if status.code == 409 && !ours => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claim(&self, acquired: MicroTime, renewed: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: i32::try_from(self.election.lease_duration.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(renewed),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn observe(&mut self, spec: Option<LeaseSpec>) {
        self.observed = spec;
        self.observed_at = Instant::now();
    }

    /// Lets the next candidate in at once. Best effort: without it the lease runs out.
    async fn release(&mut self) {
        let release = async {
            let Some(mut lease) = self.api.get_opt(&self.election.name).await? else {
                return Ok(());
            };
            let Some(spec) = &mut lease.spec else {
                return Ok(());
            };
            if spec.holder_identity.as_deref() != Some(self.election.identity.as_str()) {
                return Ok(());
            }
            let now = MicroTime(Timestamp::now());
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(now.clone());
            spec.acquire_time = Some(now);
            self.api
                .replace(&self.election.name, &PostParams::default(), &lease)
                .await
                .map(|_| ())
        };
        match tokio::time::timeout(Duration::from_secs(2), release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot release the leader lease"),
            Err(_) => tracing::warn!("cannot release the leader lease in time"),
        }
    }
}

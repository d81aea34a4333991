//! Leases for keys with a time to live: many keys share one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::WRITE_PATIENCE;
use super::connection::LEASE_GRANT;
use super::endpoints::Endpoints;
use super::wire::{LeaseGrantRequest, LeaseGrantResponse};
use crate::backend::BackendError;
use crate::metrics::BackendMetrics;

/// A lease takes new keys for this part of its time, or at least a minute; it lives that much longer.
const REUSE_PART: u32 = 20;
const REUSE_LEAST: Duration = Duration::from_secs(60);
/// Expiry of a lease deletes its keys at once, so they mustn't be too many.
const MOST_KEYS: usize = 1000;

struct Shared {
    id: i64,
    until: Instant,
    keys: usize,
}

pub(super) struct LeasePool {
    endpoints: Arc<Endpoints>,
    /// By time to live in seconds.
    shared: Mutex<HashMap<u64, Shared>>,
    metrics: BackendMetrics,
}

impl LeasePool {
    pub(super) fn new(endpoints: Arc<Endpoints>) -> Self {
        LeasePool {
            endpoints,
            shared: Mutex::default(),
            metrics: BackendMetrics::default(),
        }
    }

    pub(super) fn metrics(&self) -> &BackendMetrics {
        &self.metrics
    }

    /// A lease that lives at least `ttl`.
    pub(super) async fn lease(&self, ttl: Duration) -> Result<i64, BackendError> {
        let seconds = ttl.as_secs().max(1);
        let mut shared = self.shared.lock().await;
        if let Some(lease) = shared.get_mut(&seconds)
            && lease.until > Instant::now()
            && lease.keys < MOST_KEYS
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let reuse = reuse_for(ttl);
        let granted_at = Instant::now();
        let lifetime = i64::try_from(seconds + reuse.as_secs()).unwrap_or(i64::MAX);
        let answer = self
            .endpoints
            .call(WRITE_PATIENCE, |member| async move {
                let question = LeaseGrantRequest { ttl: lifetime };
                member.unary::<LeaseGrantResponse>(LEASE_GRANT, &question).await
            })
            .await?;
        let id = answer.value.id;
        shared.retain(|other, lease| *other == seconds || lease.until > granted_at);
        let before = shared.insert(
            seconds,
            Shared {
                id,
                until: granted_at + reuse,
                keys: 1,
            },
        );
        if let Some(before) = before {
            self.metrics.leases.observe(before.keys as f64);
        }
        Ok(id)
    }
}

/// Short times are exact: they are given to keys whose absence means something (API server leases).
fn reuse_for(ttl: Duration) -> Duration {
    match ttl > REUSE_LEAST {
        true => (ttl / REUSE_PART).max(REUSE_LEAST),
        false => Duration::ZERO,
    }
}

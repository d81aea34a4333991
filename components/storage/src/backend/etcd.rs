//! etcd: conditional writes as transactions over one multiplexed connection, with failover between members.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{CompactionOptions, Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse};

use super::{Backend, BackendError, BackendWatch, KeyValue, RangeRequest, RangeResult, TxnOutcome};
use crate::revision::Revision;

mod endpoints;
mod failure;
mod lease;
mod watch;

use endpoints::{Answer, Endpoints};
pub use endpoints::{EtcdOptions, EtcdTls};
use lease::LeasePool;

/// Messages can be as large as what one range or one batch of events comes to.
const MOST_BYTES: usize = i32::MAX as usize;
/// Time for an answer to a write before another member is tried; it doubles with each try.
const WRITE_PATIENCE: Duration = Duration::from_millis(1500);
/// The same for reads, which may be large.
const READ_PATIENCE: Duration = Duration::from_secs(3);

/// The backend that clusters use.
pub struct EtcdBackend {
    endpoints: Arc<Endpoints>,
    leases: LeasePool,
}

impl EtcdBackend {
    /// Checks the options; connections are made when they are needed.
    pub async fn connect(options: EtcdOptions) -> Result<Self, BackendError> {
        let endpoints = Arc::new(Endpoints::new(options).await?);
        Ok(EtcdBackend {
            leases: LeasePool::new(endpoints.clone()),
            endpoints,
        })
    }

    /// Uses other certificates from the next connection on; `tls` must be whole, else nothing changes.
    pub async fn set_tls(&self, tls: EtcdTls) -> Result<(), BackendError> {
        self.endpoints.set_tls(tls).await
    }

    /// One conditional write: `otherwise` the key as it is.
    async fn write_if(
        &self,
        key: &str,
        expected: Option<Revision>,
        operation: TxnOp,
    ) -> Result<Answer<TxnOutcome>, BackendError> {
        let compare = Compare::mod_revision(key, CompareOp::Equal, expected.map_or(0, Revision::value));
        let txn = Txn::new()
            .when([compare])
            .and_then([operation])
            .or_else([TxnOp::get(key, None)]);
        self.endpoints
            .call(WRITE_PATIENCE, |client| {
                let txn = txn.clone();
                async move {
                    client
                        .kv_client()
                        .max_decoding_message_size(MOST_BYTES)
                        .txn(txn)
                        .await
                }
            })
            .await?
            .map(|response| {
                if response.succeeded() {
                    return Ok(TxnOutcome::Done(revision_of(response.header())?));
                }
                let current = response
                    .op_responses()
                    .into_iter()
                    .find_map(|response| match response {
                        TxnOpResponse::Get(mut found) => found.take_kvs().pop(),
                        _ => None,
                    });
                Ok(TxnOutcome::Conflict(current.map(key_value)))
            })
    }

    async fn put_if(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Option<Revision>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        let options = match ttl {
            Some(ttl) => Some(PutOptions::new().with_lease(self.leases.lease(ttl).await?)),
            None => None,
        };
        let answer = self
            .write_if(key, expected, TxnOp::put(key, value.clone(), options))
            .await?;
        Ok(match answer.value {
            // An earlier try was applied though its answer got lost: the key holds what this call wrote.
            TxnOutcome::Conflict(Some(current))
                if answer.retried && current.value == value && Some(current.mod_revision) > expected =>
            {
                TxnOutcome::Done(current.mod_revision)
            }
            outcome => outcome,
        })
    }
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> Result<Revision, BackendError> {
    match header {
        Some(header) => Ok(Revision::new(header.revision())),
        None => Err(BackendError::Unavailable {
            message: "etcd answered without a header".to_owned(),
        }),
    }
}

fn key_value(kv: etcd_client::KeyValue) -> KeyValue {
    let mod_revision = Revision::new(kv.mod_revision());
    let (key, value) = kv.into_key_value();
    KeyValue {
        key: text(key),
        value,
        mod_revision,
    }
}

/// Keys below the prefix are text; anything else is kept recognisable and matches no resource.
fn text(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[async_trait]
impl Backend for EtcdBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        let mut options = GetOptions::new()
            .with_range(request.end.clone())
            .with_limit(request.limit as i64);
        if let Some(revision) = request.revision {
            options = options.with_revision(revision.value());
        }
        let answer = self
            .endpoints
            .call(READ_PATIENCE, |client| {
                let (start, options) = (request.start.clone(), options.clone());
                async move {
                    client
                        .kv_client()
                        .max_decoding_message_size(MOST_BYTES)
                        .get(start, Some(options))
                        .await
                }
            })
            .await
            .map_err(|error| match (error, request.revision) {
                (BackendError::Compacted { oldest, .. }, Some(requested)) => {
                    BackendError::Compacted { requested, oldest }
                }
                (BackendError::FutureRevision { current, .. }, Some(requested)) => {
                    BackendError::FutureRevision { requested, current }
                }
                (error, _) => error,
            })?;
        let mut found = answer.value;
        Ok(RangeResult {
            more: found.more(),
            count: u64::try_from(found.count()).unwrap_or_default(),
            revision: revision_of(found.header())?,
            kvs: found.take_kvs().into_iter().map(key_value).collect(),
        })
    }

    async fn create(
        &self,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.put_if(key, value, None, ttl).await
    }

    async fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.put_if(key, value, Some(expected), ttl).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        let answer = self
            .write_if(key, Some(expected), TxnOp::delete(key, None))
            .await?;
        match answer.value {
            // It is gone, but whether by this call can't be known any more.
            TxnOutcome::Conflict(None) if answer.retried => Err(BackendError::Unavailable {
                message: format!("the connection was lost while {key} was deleted; it is gone now"),
            }),
            outcome => Ok(outcome),
        }
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        // A linearizable read of nothing. Its answer must not be older than the call, which holds on any member.
        let answer = self
            .endpoints
            .call(WRITE_PATIENCE, |client| async move {
                client
                    .kv_client()
                    .get("\0", Some(GetOptions::new().with_count_only()))
                    .await
            })
            .await?;
        revision_of(answer.value.header())
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<BackendWatch, BackendError> {
        watch::start(self.endpoints.clone(), prefix, from).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        let result = self
            .endpoints
            .call(READ_PATIENCE, |client| async move {
                client
                    .kv_client()
                    .compact(revision.value(), None::<CompactionOptions>)
                    .await
            })
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(BackendError::Compacted { oldest, .. }) => Err(BackendError::Compacted {
                requested: revision,
                oldest,
            }),
            Err(error) => Err(error),
        }
    }
}

//! etcd: conditional writes as transactions over one multiplexed connection, with failover between members.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Backend, BackendError, BackendWatch, KeyValue, RangeRequest, RangeResult, TxnOutcome, WatchRange,
};
use crate::metrics::BackendMetrics;
use crate::revision::Revision;

mod acknowledgements;
mod connection;
mod endpoints;
mod failure;
mod lease;
mod member;
mod watch;
mod wire;

use connection::{COMPACT, RANGE, STATUS, TXN};
pub use connection::{EtcdDialer, EtcdStream};
use endpoints::{Answer, Endpoints};
pub use endpoints::{EtcdOptions, EtcdTls};
use lease::LeasePool;
use wire::request_op::Request;
use wire::response_op::Response;

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
        let endpoints = Arc::new(Endpoints::new(options)?);
        Ok(EtcdBackend {
            leases: LeasePool::new(endpoints.clone()),
            endpoints,
        })
    }

    /// Uses other certificates from the next connection on; `tls` must be whole, else nothing changes.
    pub async fn set_tls(&self, tls: EtcdTls) -> Result<(), BackendError> {
        self.endpoints.set_tls(&tls)
    }

    /// One conditional write: `otherwise` the key as it is.
    async fn write_if(
        &self,
        key: &str,
        expected: Option<Revision>,
        change: Request,
    ) -> Result<Answer<TxnOutcome>, BackendError> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let compare = wire::Compare {
            target: wire::CompareTarget::ModRevision.into(),
            key: key.clone(),
            mod_revision: Some(expected.map_or(0, Revision::value)),
        };
        let read = Request::Range(wire::RangeRequest {
            key,
            ..wire::RangeRequest::default()
        });
        let operation = |request| wire::RequestOp {
            request: Some(request),
        };
        let txn = wire::TxnRequest {
            compare: vec![compare],
            success: vec![operation(change)],
            failure: vec![operation(read)],
        };
        let txn = &txn;
        self.endpoints
            .change(WRITE_PATIENCE, |member| async move {
                member.unary::<wire::TxnResponse>(TXN, txn).await
            })
            .await?
            .map(|response| {
                if response.succeeded {
                    return Ok(TxnOutcome::Done(revision_of(response.header)?));
                }
                let current = response
                    .responses
                    .into_iter()
                    .find_map(|response| match response.response {
                        Some(Response::Range(mut found)) => found.kvs.pop(),
                        _ => None,
                    });
                Ok(TxnOutcome::Conflict(current.map(key_value)))
            })
    }

    async fn put_if(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        let put = wire::PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.clone(),
            lease: match ttl {
                Some(ttl) => self.leases.lease(ttl).await?,
                None => 0,
            },
        };
        let answer = self.write_if(key, expected, Request::Put(put)).await?;
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

fn revision_of(header: Option<wire::ResponseHeader>) -> Result<Revision, BackendError> {
    match header {
        Some(header) => Ok(Revision::new(header.revision)),
        None => Err(BackendError::Unavailable {
            message: "etcd answered without a header".to_owned(),
        }),
    }
}

fn key_value(kv: wire::KeyValue) -> KeyValue {
    KeyValue {
        key: text(&kv.key),
        value: kv.value.into(),
        mod_revision: Revision::new(kv.mod_revision),
    }
}

/// Keys below the prefix are text; anything else is kept recognisable and matches no resource.
fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[async_trait]
impl Backend for EtcdBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        let question = wire::RangeRequest {
            key: request.start.into(),
            range_end: request.end.into(),
            limit: i64::try_from(request.limit).unwrap_or(i64::MAX),
            revision: request.revision.map_or(0, Revision::value),
            count_only: false,
        };
        let question = &question;
        let found = self
            .endpoints
            .call(READ_PATIENCE, |member| async move {
                member.unary::<wire::RangeResponse>(RANGE, question).await
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
        let found = found.value;
        Ok(RangeResult {
            more: found.more,
            count: u64::try_from(found.count).unwrap_or_default(),
            revision: revision_of(found.header)?,
            kvs: found.kvs.into_iter().map(key_value).collect(),
        })
    }

    async fn create(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.put_if(key, value, None, ttl).await
    }

    async fn update(
        &self,
        key: &str,
        value: Bytes,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.put_if(key, value, Some(expected), ttl).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        let removal = wire::DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
        };
        let answer = self
            .write_if(key, Some(expected), Request::Delete(removal))
            .await?;
        match answer.value {
            // It is gone, but whether by this call can't be known any more.
            TxnOutcome::Conflict(None) if answer.retried => Err(BackendError::Unanswered {
                message: format!("the connection was lost while {key} was deleted; it is gone now"),
            }),
            outcome => Ok(outcome),
        }
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        // A linearizable read of nothing. Its answer must not be older than the call, which holds on any member.
        let nothing = wire::RangeRequest {
            key: Bytes::from_static(b"\0"),
            count_only: true,
            ..wire::RangeRequest::default()
        };
        let nothing = &nothing;
        let answer = self
            .endpoints
            .call(WRITE_PATIENCE, |member| async move {
                member.unary::<wire::RangeResponse>(RANGE, nothing).await
            })
            .await?;
        revision_of(answer.value.header)
    }

    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError> {
        watch::start(self.endpoints.clone(), range).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        let result = self
            .endpoints
            .call(READ_PATIENCE, |member| async move {
                let question = wire::CompactionRequest {
                    revision: revision.value(),
                };
                member.unary::<wire::Ignored>(COMPACT, &question).await
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

    async fn size(&self) -> Result<Option<u64>, BackendError> {
        let question = wire::Ignored::default();
        let question = &question;
        let answer = self
            .endpoints
            .call(READ_PATIENCE, |member| async move {
                member.unary::<wire::StatusResponse>(STATUS, question).await
            })
            .await?;
        Ok(u64::try_from(answer.value.db_size).ok())
    }

    fn metrics(&self) -> Option<&BackendMetrics> {
        Some(self.leases.metrics())
    }
}

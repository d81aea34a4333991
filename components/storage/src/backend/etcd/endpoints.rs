//! The members of etcd: one is used by all calls until it fails.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::failure::{self, Failure};
use crate::backend::BackendError;

const CONNECT: Duration = Duration::from_secs(1);
/// etcd refuses clients that ask more often than every five seconds.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// A call is given up after this long without any member's answer.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// PEM of the mutual TLS to etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdTls {
    pub ca: Vec<u8>,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Where etcd is.
#[derive(Clone)]
pub struct EtcdOptions {
    /// URLs in order of preference.
    pub endpoints: Vec<String>,
    /// None only for http URLs (tests).
    pub tls: Option<EtcdTls>,
}

/// What a call brought, and whether an earlier try of it may have been applied.
pub(super) struct Answer<T> {
    pub value: T,
    pub retried: bool,
}

impl<T> Answer<T> {
    pub(super) fn map<U>(
        self,
        map: impl FnOnce(T) -> Result<U, BackendError>,
    ) -> Result<Answer<U>, BackendError> {
        Ok(Answer {
            value: map(self.value)?,
            retried: self.retried,
        })
    }
}

pub(super) struct Endpoints {
    clients: Vec<(String, ArcSwap<Client>)>,
    current: watch::Sender<usize>,
}

impl Endpoints {
    pub(super) async fn new(options: EtcdOptions) -> Result<Self, BackendError> {
        let refused = |message: String| BackendError::Unavailable { message };
        if options.endpoints.is_empty() {
            return Err(refused("no etcd endpoints are given".to_owned()));
        }
        let mut clients = Vec::new();
        for url in options.endpoints {
            let client = client(&url, options.tls.clone()).await?;
            clients.push((url, ArcSwap::from_pointee(client)));
        }
        Ok(Endpoints {
            clients,
            current: watch::Sender::new(0),
        })
    }

    /// New connections are made with other certificates; what runs on the present ones runs on.
    pub(super) async fn set_tls(&self, tls: EtcdTls) -> Result<(), BackendError> {
        let mut fresh = Vec::with_capacity(self.clients.len());
        for (url, _) in &self.clients {
            fresh.push(client(url, Some(tls.clone())).await?);
        }
        for ((_, slot), client) in self.clients.iter().zip(fresh) {
            slot.store(Arc::new(client));
        }
        Ok(())
    }

    /// The member in use, its number, and what tells when it is no longer used.
    pub(super) fn current(&self) -> (usize, Arc<Client>, watch::Receiver<usize>) {
        let mut changes = self.current.subscribe();
        let index = *changes.borrow_and_update();
        (index, self.clients[index].1.load_full(), changes)
    }

    /// Moves on from a member that failed, unless somebody has already.
    pub(super) fn give_up(&self, index: usize, why: &str) {
        let next = (index + 1) % self.clients.len();
        let moved = next != index
            && self.current.send_if_modified(|current| {
                let same = *current == index;
                if same {
                    *current = next;
                }
                same
            });
        if moved {
            tracing::warn!(
                from = self.clients[index].0,
                to = self.clients[next].0,
                why,
                "switching the etcd member"
            );
        }
    }

    /// Calls until there is an answer. Each try gets `patience`, doubled with each; `call` must be safe to repeat.
    pub(super) async fn call<T, F, Fut>(&self, patience: Duration, call: F) -> Result<Answer<T>, BackendError>
    where
        F: Fn(Arc<Client>) -> Fut,
        Fut: Future<Output = Result<T, etcd_client::Error>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut patience = patience;
        let mut pause = FIRST_PAUSE;
        let mut retried = false;
        loop {
            let (index, client, mut changes) = self.current();
            let attempt = timeout(patience, call(client));
            let result = tokio::select! {
                result = attempt => result,
                // Another call found out that this member is dead.
                _ = changes.changed() => {
                    retried = true;
                    if Instant::now() >= deadline {
                        return Err(BackendError::Unavailable { message: "no etcd member answers".to_owned() });
                    }
                    continue;
                }
            };
            let failure = match result {
                Ok(Ok(value)) => return Ok(Answer { value, retried }),
                Ok(Err(error)) => failure::classify(error),
                Err(_) => Failure::Silent,
            };
            let message = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Silent => {
                    retried = true;
                    self.give_up(index, "no answer");
                    patience *= 2;
                    format!("etcd member {} doesn't answer", self.clients[index].0)
                }
                Failure::Member {
                    message,
                    maybe_applied,
                } => {
                    retried |= maybe_applied;
                    self.give_up(index, &message);
                    message
                }
            };
            if Instant::now() + pause >= deadline {
                return Err(BackendError::Unavailable { message });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

async fn client(url: &str, tls: Option<EtcdTls>) -> Result<Client, BackendError> {
    let mut connect = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
        // A member without a leader says so at once, and cancels its watches.
        .with_require_leader(true);
    if let Some(tls) = tls {
        connect = connect.with_tls(
            TlsOptions::new()
                .ca_certificate(Certificate::from_pem(tls.ca))
                .identity(Identity::from_pem(tls.certificate, tls.key)),
        );
    }
    Client::connect([url], Some(connect))
        .await
        .map_err(|error| BackendError::Unavailable {
            message: format!("etcd endpoint {url}: {error}"),
        })
}

//! The members of etcd: one is used by all calls until it fails.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::connection::EtcdDialer;
use super::failure::{self, CallError, Failure};
use super::member::Member;
use crate::backend::BackendError;

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
    /// Who makes the connections; `None` for direct ones.
    pub dialer: Option<Arc<dyn EtcdDialer>>,
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

/// A call without an answer.
struct GaveUp {
    why: BackendError,
    /// Whether some try of it may have been applied.
    maybe_applied: bool,
}

pub(super) struct Endpoints {
    members: Vec<Arc<Member>>,
    current: watch::Sender<usize>,
}

impl Endpoints {
    pub(super) fn new(options: EtcdOptions) -> Result<Self, BackendError> {
        if options.endpoints.is_empty() {
            return Err(BackendError::Unavailable {
                message: "no etcd endpoints are given".to_owned(),
            });
        }
        let members = options
            .endpoints
            .iter()
            .map(|url| Member::new(url, options.tls.as_ref(), options.dialer.clone()).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Endpoints {
            members,
            current: watch::Sender::new(0),
        })
    }

    /// New connections are made with other certificates; what runs on the present ones runs on.
    pub(super) fn set_tls(&self, tls: &EtcdTls) -> Result<(), BackendError> {
        let connector = super::member::connector(tls)?;
        for member in &self.members {
            member.use_from_now(connector.clone());
        }
        Ok(())
    }

    /// The member in use, its number, and what tells when it is no longer used.
    pub(super) fn current(&self) -> (usize, Arc<Member>, watch::Receiver<usize>) {
        let mut changes = self.current.subscribe();
        let index = *changes.borrow_and_update();
        (index, Arc::clone(&self.members[index]), changes)
    }

    /// Moves on from a member that failed, unless somebody has already.
    pub(super) fn give_up(&self, index: usize, why: &str) {
        let next = (index + 1) % self.members.len();
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
                from = self.members[index].url(),
                to = self.members[next].url(),
                why,
                "switching the etcd member"
            );
        }
    }

    /// Calls until there is an answer. Each try gets `patience`, doubled with each; `call` must be safe to repeat.
    pub(super) async fn call<T, F, Fut>(&self, patience: Duration, call: F) -> Result<Answer<T>, BackendError>
    where
        F: Fn(Arc<Member>) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        self.attempt(patience, call).await.map_err(|failed| failed.why)
    }

    /// The same for a change: one that may have been applied by an earlier try is never told to have failed.
    pub(super) async fn change<T, F, Fut>(
        &self,
        patience: Duration,
        call: F,
    ) -> Result<Answer<T>, BackendError>
    where
        F: Fn(Arc<Member>) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        self.attempt(patience, call)
            .await
            .map_err(|failed| match failed.why {
                BackendError::Unavailable { message } if failed.maybe_applied => {
                    BackendError::Unanswered { message }
                }
                why => why,
            })
    }

    async fn attempt<T, F, Fut>(&self, patience: Duration, call: F) -> Result<Answer<T>, GaveUp>
    where
        F: Fn(Arc<Member>) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut patience = patience;
        let mut pause = FIRST_PAUSE;
        let mut retried = false;
        loop {
            let (index, member, mut changes) = self.current();
            let attempt = timeout(patience, call(member));
            let result = tokio::select! {
                result = attempt => result,
                // Another call found out that this member is dead.
                _ = changes.changed() => {
                    retried = true;
                    if Instant::now() >= deadline {
                        let message = "no etcd member answers".to_owned();
                        return Err(GaveUp {
                            why: BackendError::Unanswered { message },
                            maybe_applied: true,
                        });
                    }
                    continue;
                }
            };
            let failure = match result {
                Ok(Ok(value)) => return Ok(Answer { value, retried }),
                Ok(Err(error)) => failure::classify(error),
                Err(_) => Failure::Silent { maybe_applied: true },
            };
            let why = match failure {
                Failure::Final(why) => {
                    return Err(GaveUp {
                        why,
                        maybe_applied: retried,
                    });
                }
                Failure::Silent { maybe_applied } => {
                    retried |= maybe_applied;
                    self.give_up(index, "no answer");
                    patience *= 2;
                    let message = format!("etcd member {} doesn't answer", self.members[index].url());
                    BackendError::Unanswered { message }
                }
                Failure::Member {
                    message,
                    maybe_applied,
                } => {
                    retried |= maybe_applied;
                    self.give_up(index, &message);
                    BackendError::Unavailable { message }
                }
            };
            if Instant::now() + pause >= deadline {
                return Err(GaveUp {
                    why,
                    maybe_applied: retried,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

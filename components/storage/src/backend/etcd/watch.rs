//! A watch: one stream on the member in use; it ends when that is given up, and is resumed by its reader.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Requests, Responses, WATCH};
use super::endpoints::Endpoints;
use super::failure::{self, Failure};
use super::wire::{
    EventType, Ignored, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::Request,
};
use super::{READ_PATIENCE, text};
use crate::backend::{
    BackendError, BackendWatch, Previous, ProgressRequester, RawEvent, WatchMessage, WatchRange, prefix_end,
};
use crate::revision::Revision;

/// Messages the reader may be behind; then the stream is no longer read and etcd holds them.
const BUFFER: usize = 16;
/// The same of a reader that resumes: more, since its watch ends then.
const RESUMABLE_BUFFER: usize = 100;
/// A stream that doesn't report its progress for this long after it was asked is dead.
const SILENCE: Duration = Duration::from_secs(4);

pub(super) async fn start(
    endpoints: Arc<Endpoints>,
    range: WatchRange,
) -> Result<BackendWatch, BackendError> {
    let (index, member, changes) = endpoints.current();
    let create = WatchCreateRequest {
        range_end: prefix_end(&range.prefix).into(),
        key: range.prefix.into(),
        start_revision: range.from.value(),
        progress_notify: true,
        prev_kv: range.with_previous,
    };
    let create = WatchRequest {
        request: Some(Request::Create(create)),
    };
    let (requests, responses) = match timeout(READ_PATIENCE, member.stream(WATCH, &create)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let error = as_backend_error(failure::classify(error));
            endpoints.give_up(index, &error.to_string());
            return Err(error);
        }
        Err(_) => {
            endpoints.give_up(index, "no answer to a watch");
            return Err(as_backend_error(Failure::Silent { maybe_applied: true }));
        }
    };
    let (sender, messages) = mpsc::channel(if range.resumable { RESUMABLE_BUFFER } else { BUFFER });
    let (progress, progress_requests) = mpsc::channel(1);
    let pump = Pump {
        endpoints: endpoints.clone(),
        index,
        from: range.from,
        with_previous: range.with_previous,
        resumable: range.resumable,
        requests,
        responses,
        changes,
    };
    let pump = tokio::spawn(pump.run(progress_requests, sender));
    Ok(BackendWatch {
        messages,
        progress: ProgressRequester(progress),
        feed: Some(AbortOnDropHandle::new(pump)),
    })
}

fn as_backend_error(failure: Failure) -> BackendError {
    match failure {
        Failure::Final(error) => error,
        Failure::Member { message, .. } => BackendError::Unavailable { message },
        Failure::Silent { .. } => BackendError::Unanswered {
            message: "etcd doesn't answer".to_owned(),
        },
    }
}

struct Pump {
    endpoints: Arc<Endpoints>,
    index: usize,
    from: Revision,
    with_previous: bool,
    resumable: bool,
    requests: Requests,
    responses: Responses,
    changes: watch::Receiver<usize>,
}

impl Pump {
    async fn run(
        mut self,
        mut progress: mpsc::Receiver<()>,
        sender: mpsc::Sender<Result<WatchMessage, BackendError>>,
    ) {
        let unavailable = |message: &str| BackendError::Unavailable {
            message: message.to_owned(),
        };
        let mut answer_by: Option<Instant> = None;
        let end = loop {
            let silent = async {
                match answer_by {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let response = tokio::select! {
                biased;
                () = sender.closed() => return,
                _ = self.changes.changed() => break unavailable("switched the etcd member"),
                response = self.responses.next::<WatchResponse>() => response,
                request = progress.recv() => {
                    if request.is_none() {
                        return;
                    }
                    if self.requests.send(&progress_request()).is_err() {
                        break unavailable("the watch stream is closed");
                    }
                    answer_by.get_or_insert(Instant::now() + SILENCE);
                    continue;
                }
                () = silent => {
                    self.endpoints.give_up(self.index, "a watch is silent");
                    break unavailable("the watch is silent");
                }
            };
            answer_by = None;
            match response {
                Ok(Some(response)) => match self.message(response) {
                    Ok(Some(message)) => {
                        // What isn't read would fill the connection's window, which others need.
                        if self.resumable && sender.capacity() == 0 {
                            break unavailable("the reader is behind");
                        }
                        if sender.send(Ok(message)).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => break error,
                },
                Ok(None) => break unavailable("the watch stream ended"),
                Err(error) => {
                    let error = as_backend_error(failure::classify(error));
                    self.endpoints.give_up(self.index, &error.to_string());
                    break error;
                }
            }
        };
        // Who reads late must not keep the stream.
        drop(self);
        // The reader may have gone.
        let _ = sender.send(Err(end)).await;
    }

    fn message(&self, response: WatchResponse) -> Result<Option<WatchMessage>, BackendError> {
        if response.compact_revision > 0 {
            return Err(BackendError::Compacted {
                requested: self.from,
                oldest: Revision::new(response.compact_revision),
            });
        }
        if response.canceled {
            return Err(BackendError::Unavailable {
                message: format!("etcd cancelled the watch: {}", response.cancel_reason),
            });
        }
        if response.created {
            return Ok(None);
        }
        let events: Vec<RawEvent> = response
            .events
            .into_iter()
            .filter_map(|event| {
                let put = event.r#type() == EventType::Put;
                let kv = event.kv?;
                let is_new = self.with_previous && put && kv.create_revision == kv.mod_revision;
                Some(RawEvent {
                    key: text(&kv.key),
                    value: put.then_some(kv.value),
                    previous: match event.prev_kv {
                        Some(previous) => Previous::Value(previous.value),
                        None if is_new => Previous::Nothing,
                        None => Previous::Unknown,
                    },
                    revision: Revision::new(kv.mod_revision),
                })
            })
            .collect();
        // With events only what they cover is certain; a message without events is a report of progress.
        let revision = match (events.last(), response.header) {
            (Some(last), _) => last.revision,
            (None, Some(header)) => Revision::new(header.revision),
            (None, None) => return Ok(None),
        };
        Ok(Some(WatchMessage { events, revision }))
    }
}

fn progress_request() -> WatchRequest {
    WatchRequest {
        request: Some(Request::Progress(Ignored {})),
    }
}

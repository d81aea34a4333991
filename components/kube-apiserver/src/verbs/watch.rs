//! watch: a stream of frames.

mod end;
mod listened;

use super::list::{TIMEOUT, whole_number};
use super::options::refuse;
use super::target::Target;
use crate::answer;
use crate::connect::listening::Listener;
use crate::definitions::conversion;
use crate::kinds;
use crate::media::{self, Answer, Encoding, Shape};
use crate::metrics::watches::SentEvents;
use crate::present;
use crate::request::ApiRequest;
use crate::request_info::says_true;
use crate::selectors;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use api::Resource;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, Reason};
use bytes::Bytes;
use end::End;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use storage::{
    EventKind, Filter, RequestedRevision, StorageError, WatchEvent, WatchItem, WatchRequest, Watcher,
    bookmark_frame,
};

pub async fn watch(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
    listener: Option<Listener>,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let accepted = media::negotiate(request, &target.row, Answer::Watch)?;
    let content_type = match accepted.encoding {
        Encoding::Json => media::JSON,
        Encoding::Protobuf => media::PROTOBUF_EVENTS,
        Encoding::Yaml => return Err(media::unwatchable()),
    };
    let query = &request.query;
    let bookmarks = query.is_true("allowWatchBookmarks");
    let send_initial_events = query
        .get("sendInitialEvents")
        .filter(|text| !text.is_empty())
        .map(says_true);
    let watch_list = server.has_feature("WatchList");
    check_options(request, send_initial_events, watch_list)?;
    // Watches from no revision always begin with all objects. Whoever may get bookmarks is told where these end, as in a watch that asks
    // for them (upstream's SetListOptionsDefaults).
    let from_none = matches!(query.get("resourceVersion"), None | Some("" | "0"));
    let send_initial_events = send_initial_events.or((watch_list && from_none).then_some(true));
    let fields = selectors::of_named(&target.name, query.get("fieldSelector").unwrap_or(""))?;
    let mut filter = selectors::filter(&target.row, query.get("labelSelector").unwrap_or(""), &fields)?;
    let late = filter
        .take_if(|_| conversion::by_webhook(&target.row))
        .map(LateFilter::new);
    let seconds = match whole_number(request, TIMEOUT)? {
        // One below zero has passed: the watch ends at once.
        Some(seconds) if seconds != 0 => seconds.max(0) as f64,
        // Spread over twice the least time, so that watches don't all end and come back together.
        _ => server.flags.min_request_timeout as f64 * (1.0 + rand::random::<f64>()),
    };
    let time = Duration::from_secs_f64(seconds);
    let revision = RequestedRevision::parse(query.get("resourceVersion").unwrap_or(""))
        .map_err(|error| unreadable(error, target))?;
    let begins = target.store.watch(WatchRequest {
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.clone()),
        revision,
        send_initial_events,
        bookmarks,
        until: tokio::time::Instant::now().checked_add(time),
        filter,
    });
    let watcher = match tokio::time::timeout(time, begins).await {
        Ok(Ok(watcher)) if !time.is_zero() => watcher,
        // A revision that is gone, or that isn't reached, is reported inside the stream, where reflectors look for it; and
        // so is a backend that can't be asked.
        Ok(Err(
            error @ (StorageError::Expired { .. }
            | StorageError::TooLargeResourceVersion { .. }
            | StorageError::Unavailable { .. }
            | StorageError::Unanswered { .. }),
        )) => {
            let frame = frame_of("ERROR", &target.error(error).to_status(), accepted.encoding);
            return Ok(match listener {
                Some(listener) => listened::once(listener, request, accepted.encoding, frame),
                None => answer::with_body(StatusCode::OK, content_type, Body::bytes(frame)),
            });
        }
        Ok(Err(error)) => return Err(target.error(error)),
        // Its time is over before it could begin.
        Ok(Ok(_)) | Err(_) => {
            return Ok(match listener {
                Some(listener) => listened::none(listener, request, accepted.encoding),
                None => answer::with_body(StatusCode::OK, content_type, Body::bytes(Bytes::new())),
            });
        }
    };
    let frames = Frames {
        watcher,
        server: Arc::clone(server),
        request: Arc::clone(request),
        target: target.clone(),
        encoding: accepted.encoding,
        shape: accepted.shape,
        end: End::after(Arc::clone(server), time),
        columns_sent: false,
        late,
        asked: (send_initial_events == Some(true)).then_some(begun),
        sent: server.metrics.watches.of(&target.row),
    };
    if let Some(listener) = listener {
        return Ok(listened::answer(listener, request, frames));
    }
    let stream = futures::stream::unfold(Some(frames), |state| async move {
        let mut frames = state?;
        let (frame, more) = frames.next().await?;
        Some((Ok(frame), more.then_some(frames)))
    });
    Ok(answer::with_body(
        StatusCode::OK,
        content_type,
        Body::stream(stream),
    ))
}

/// Unlike a list's, upstream doesn't take a watch's unreadable revision for the client's mistake.
fn unreadable(error: StorageError, target: &Target) -> ApiError {
    let StorageError::InvalidResourceVersion { value } = error else {
        return target.error(error);
    };
    let why = crate::stores::invalid_revision(&value);
    ApiError::new(500, Reason::Unknown, why, None)
}

fn check_options(
    request: &ApiRequest,
    send_initial_events: Option<bool>,
    watch_list: bool,
) -> Result<(), ApiError> {
    let version_match = request.query.get("resourceVersionMatch").unwrap_or("");
    let mut errors = Vec::new();
    let path = Path::new("resourceVersionMatch");
    let fits = version_match == "NotOlderThan";
    if send_initial_events.is_some() {
        if !fits {
            errors.push(Error::forbidden(
                &path,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !watch_list {
            errors.push(Error::forbidden(
                &Path::new("sendInitialEvents"),
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            ));
        }
    }
    if !version_match.is_empty() {
        if send_initial_events.is_none() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if !fits {
            errors.push(Error::not_supported(&path, version_match, &["NotOlderThan"]));
        }
        if !request.query.get("continue").unwrap_or("").is_empty() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
    }
    refuse("ListOptions", &errors)
}

struct Frames {
    watcher: Watcher,
    server: Arc<Server>,
    request: Arc<ApiRequest>,
    target: Target,
    encoding: Encoding,
    shape: Shape,
    /// Comes when its time is over. Kept from event to event: its timer is set and taken off once.
    end: End,
    columns_sent: bool,
    late: Option<LateFilter>,
    /// When the client asked for all objects first, until it has them.
    asked: Option<Instant>,
    sent: SentEvents,
}

/// A selector over objects that a webhook converts, which storage can't apply.
struct LateFilter {
    filter: Filter,
    /// Keys of objects that are known not to be selected.
    outside: HashSet<String>,
}

impl LateFilter {
    fn new(filter: Filter) -> Self {
        Self {
            filter,
            outside: HashSet::new(),
        }
    }

    /// What an event is to a watcher that sees selected objects only.
    fn kind(&mut self, event: &WatchEvent) -> Option<EventKind> {
        let object = event.object();
        let selected = self.filter.matches(object);
        let was_outside = self.outside.contains(object.key());
        if event.kind == EventKind::Deleted {
            self.outside.remove(object.key());
            return (selected && !was_outside).then_some(EventKind::Deleted);
        }
        if !selected {
            let first = self.outside.insert(object.key().to_owned());
            // Whether it was selected before the watch began is not known; telling too much harms nobody.
            return (first && event.kind == EventKind::Modified).then_some(EventKind::Deleted);
        }
        self.outside.remove(object.key());
        Some(if was_outside { EventKind::Added } else { event.kind })
    }
}

/// Frames sent in one write at most.
const BATCH_BYTES: usize = 64 * 1024;

impl Frames {
    /// The next item; `None` when its time is over.
    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        if self.end.poll(context).is_ready() {
            return Poll::Ready(None);
        }
        self.watcher.poll_next(context).map(Some)
    }

    /// The next item that the client is to see; `None` when its time is over.
    async fn item(&mut self) -> Option<WatchItem> {
        loop {
            let item = std::future::poll_fn(|context| self.poll_item(context)).await?;
            if !conversion::by_webhook(&self.target.row) {
                return Some(item);
            }
            // In a box, so that the thousands of watches that convert nothing have no room for it.
            if let Some(item) = Box::pin(self.converted(item)).await {
                return Some(item);
            }
        }
    }

    /// The item once its object was converted; `None` for what isn't selected.
    async fn converted(&mut self, mut item: WatchItem) -> Option<WatchItem> {
        let WatchItem::Event(event) = &mut item else {
            return Some(item);
        };
        let objects = std::slice::from_ref(event.object());
        // What can't be converted is told in the stream by the frame itself.
        let _ = conversion::ensure(&self.server, &self.target.row, objects).await;
        if let Some(late) = &mut self.late {
            event.kind = late.kind(event)?;
            // An object that leaves the selection is shown as it was.
            let objects = std::slice::from_ref(event.object());
            let _ = conversion::ensure(&self.server, &self.target.row, objects).await;
        }
        Some(item)
    }

    /// The next frame, and whether more may follow. `None` at the end.
    async fn single(&mut self) -> Option<(Bytes, bool)> {
        let item = self.item().await?;
        self.frame(item)
    }

    /// The next bytes, and whether more may follow. `None` at the end.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        let item = self.item().await?;
        let (first, more) = self.frame(item)?;
        // What a webhook converts is waited for one by one.
        if !more || conversion::by_webhook(&self.target.row) {
            return Some((first, more));
        }
        // What is there already goes out in the same write.
        let mut batch: Option<Vec<u8>> = None;
        loop {
            let length = batch.as_ref().map_or(first.len(), Vec::len);
            if length >= BATCH_BYTES {
                break;
            }
            let Some(item) = self.watcher.try_next() else {
                break;
            };
            let buffer = batch.get_or_insert_with(|| first.to_vec());
            match self.frame(item) {
                Some((frame, more)) => {
                    buffer.extend_from_slice(&frame);
                    if !more {
                        return Some((Bytes::from(batch.unwrap_or_default()), false));
                    }
                }
                None => return Some((Bytes::from(batch.unwrap_or_default()), false)),
            }
        }
        Some((batch.map_or(first, Bytes::from), true))
    }

    fn frame(&mut self, item: WatchItem) -> Option<(Bytes, bool)> {
        match item {
            WatchItem::Event(event) => {
                let (row, object, kind) = (&self.target.row, event.object(), event.kind.as_str());
                let frame = if self.encoding == Encoding::Protobuf {
                    present::protobuf::frame(kind, row, object, &self.shape)
                } else if self.shape == Shape::Object && row.custom.is_some() {
                    custom_frame(row, &event)
                } else if self.shape == Shape::Object && !kinds::needs_conversion(row) {
                    Ok(event.frame())
                } else {
                    present::value_of(row, object)
                        .and_then(|value| self.shaped(value))
                        .map(|object| self.frame_of(kind, &object))
                };
                let frame = frame.unwrap_or_else(|error| self.frame_of("ERROR", &error.to_status()));
                self.sent.sent(frame.len());
                Some((frame, true))
            }
            WatchItem::Bookmark {
                revision,
                initial_events_end,
            } => {
                if let Some(asked) = self.asked.take_if(|_| initial_events_end) {
                    let metrics = &self.server.metrics.requests;
                    metrics.listed(&self.request.info, asked.elapsed());
                }
                let row = &self.target.row;
                let plain = bookmark_frame(
                    &row.gvk.api_version(),
                    &row.gvk.kind,
                    revision,
                    initial_events_end,
                );
                if self.shape == Shape::Object && self.encoding == Encoding::Json {
                    return Some((plain, true));
                }
                let parsed: Value = serde_json::from_slice(&plain).unwrap_or_default();
                let object = self.shaped(parsed["object"].clone()).unwrap_or_default();
                Some((self.frame_of("BOOKMARK", &object), true))
            }
            WatchItem::Expired { oldest } => {
                let message = format!("too old resource version: {} ({oldest})", self.watcher.revision());
                let status = ApiError::expired(message).to_status();
                Some((self.frame_of("ERROR", &status), false))
            }
            WatchItem::Failed(error) => {
                let error = match *error {
                    StorageError::Expired { .. } => {
                        ApiError::expired("The resourceVersion for the provided watch is too old.")
                    }
                    error => self.target.error(error),
                };
                Some((self.frame_of("ERROR", &error.to_status()), false))
            }
            WatchItem::Closed => None,
        }
    }

    fn frame_of(&self, kind: &str, object: &Value) -> Bytes {
        frame_of(kind, object, self.encoding)
    }

    fn shaped(&mut self, value: Value) -> Result<Value, ApiError> {
        let mut shaped = present::shape_one(
            &self.server.registry.load(),
            &self.target.row,
            value,
            &self.shape,
            &self.request,
        )?;
        if matches!(self.shape, Shape::Table(_)) {
            // Column definitions come with the first event only.
            if std::mem::replace(&mut self.columns_sent, true) {
                shaped["columnDefinitions"] = Value::Null;
            }
        }
        Ok(shaped)
    }
}

/// A custom object's frame: the stored one when nothing in it has to change.
fn custom_frame(row: &Resource, event: &WatchEvent) -> Result<Bytes, ApiError> {
    let object = event.object();
    let json = present::json_bytes(row, object)?;
    if json.as_ptr() == object.json_bytes().as_ptr() {
        return Ok(event.frame());
    }
    let start = format!(r#"{{"type":"{}","object":"#, event.kind.as_str());
    Ok([start.as_bytes(), &json, b"}\n"].concat().into())
}

/// A frame with an object that isn't stored as it is sent.
fn frame_of(kind: &str, object: &Value, encoding: Encoding) -> Bytes {
    if encoding == Encoding::Protobuf {
        match present::protobuf::frame_of(kind, object) {
            Ok(frame) => return frame,
            // Bookmarks and Status have messages; without one there is nothing that could be sent.
            Err(error) => tracing::error!(kind, error = error.to_string(), "an event cannot be encoded"),
        }
        return Bytes::new();
    }
    format!("{}\n", json!({ "type": kind, "object": object })).into()
}

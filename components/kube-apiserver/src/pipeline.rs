//! The way of every request: read, authenticate, limit, authorize, handle, record.

mod rights;

use crate::aggregator;
use crate::answer;
use crate::audit;
use crate::authentication::notes::Notes;
use crate::compress;
use crate::handlers;
use crate::header;
use crate::identity::User;
use crate::inflight::{self, Pass};
use crate::media::FailureForm;
use crate::metrics::access::Step;
use crate::metrics::requests::labels::APISERVER;
use crate::peers;
use crate::request::{ApiRequest, Arrived, HandedOn, host_of};
use crate::request_info::{self, Query, RequestInfo};
use crate::server::Server;
use crate::serving::body::Body;
use crate::serving::body::{self, ReadError, Response};
use crate::serving::peer::Peer;
use crate::timeout;
use crate::traces;
use apimachinery::ApiError;
use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use rights::{Refusal, acting_user, authorize, internal_error_text};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::spans::{self, SpanKind};
use tokio::task::JoinHandle;

/// A request whose line makes sense.
struct Asked {
    arrived: Arrived,
    query: Query,
    info: Arc<RequestInfo>,
    /// How long it may take.
    time: Duration,
}

impl Asked {
    fn deadline(&self) -> Instant {
        self.arrived.started + self.time
    }
}

/// Answers one request; never panics and never fails.
pub async fn handle(server: Arc<Server>, request: http::Request<Incoming>, peer: Arc<Peer>) -> Response {
    if !request_info::is_escaped_well(request.uri().path()) {
        return answer::text(StatusCode::BAD_REQUEST, "400 Bad Request");
    }
    let started = Instant::now();
    let audit_id = audit::id_of(request.headers());
    let origin = server.browsers.allowed(request.headers());
    if let Some(mut response) = server.browsers.preflight(request.method(), origin.as_ref()) {
        server.browsers.mark(origin, &mut response);
        return response;
    }
    let form = FailureForm::of(&request);
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let mut record = audit::Record::new(&parts, &peer, audit_id.clone());
    let retiring = Arc::clone(&peer);
    let arrived = Arrived {
        started,
        audit_id: audit_id.clone(),
        parts,
        body,
        upgrade,
        peer,
    };
    let answered = AssertUnwindSafe(answer_of(&server, arrived, &form, &mut record))
        .catch_unwind()
        .await;
    let panicked = answered.is_err();
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!(audit_id, "a handler panicked");
        let error = ApiError::internal("the handler of this request failed unexpectedly");
        answer::failure(&error, &form.choose())
    });
    if record.is_audited() && record.status.is_null() {
        record.note_response(&server.registry.load(), &response);
    }
    if let Ok(value) = HeaderValue::from_str(&audit_id) {
        response.headers_mut().insert("audit-id", value);
    }
    if record.protocol == http::Version::HTTP_2
        && server.flags.goaway_chance > 0.0
        && rand::random::<f64>() < server.flags.goaway_chance
    {
        retiring.retire.notify_one();
    }
    if server.lifecycle.is_stopping() && record.protocol == http::Version::HTTP_11 {
        response
            .headers_mut()
            .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    server.browsers.mark(origin, &mut response);
    let requests = &server.metrics.requests;
    requests.observe(&server, &record, &mut response, started.elapsed());
    if panicked {
        server.audit.panicked(&record).await;
    } else {
        server.audit.finish(&record, &mut response).await;
    }
    if record.method == Method::HEAD.as_str() {
        leave_out_body(&mut response);
    }
    response
}

/// Clients that asked for headers only take a body for a broken protocol; hyper leaves it out of HTTP/1.1 alone.
fn leave_out_body(response: &mut Response) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if let Some(length) = body.known_length() {
        let headers = response.headers_mut();
        headers
            .entry(http::header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
}

async fn answer_of(
    server: &Arc<Server>,
    arrived: Arrived,
    form: &FailureForm,
    record: &mut audit::Record,
) -> Response {
    let query = Query::parse(arrived.parts.uri.query());
    let info = match RequestInfo::parse(&arrived.parts.method, arrived.parts.uri.path(), &query) {
        Ok(info) => Arc::new(info),
        Err(error) => return answer::failure(&ApiError::internal(error), &form.choose()),
    };
    record.info = Arc::clone(&info);
    if server.lifecycle.is_refusing() && !request_info::is_probe(&info.path) {
        arrived.peer.retire.notify_one();
        return come_back();
    }
    let outcome = match timeout::of(&info, &query, server.flags.request_timeout) {
        Ok(time) => {
            let asked = Asked {
                arrived,
                query,
                info,
                time,
            };
            guarded(server, asked, form, record).await
        }
        Err(error) => {
            server.audit.begin_refused(record);
            Err(error)
        }
    };
    outcome.unwrap_or_else(|error| answer::failure(&error, &form.choose()))
}

/// What a server that goes away tells: another connection, and so another server, will do.
fn come_back() -> Response {
    let mut response = answer::text(
        StatusCode::TOO_MANY_REQUESTS,
        "The apiserver is shutting down, please try again later.\n",
    );
    response
        .headers_mut()
        .insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// From the request's line to the answer.
async fn guarded(
    server: &Arc<Server>,
    asked: Asked,
    form: &FailureForm,
    record: &mut audit::Record,
) -> Result<Response, ApiError> {
    let Arrived { parts, peer, .. } = &asked.arrived;
    let begun = Instant::now();
    let mut notes = Notes::default();
    let step = traces::authentication(server.traces.as_ref());
    let path = &asked.info.path;
    let authenticating = server
        .authenticator
        .authenticate(&parts.headers, peer, path, &mut notes);
    let outcome = spans::ended(step.clone(), authenticating).await;
    note_authentication(server, peer, outcome.as_deref().ok(), begun.elapsed());
    record.note(std::mem::take(&mut notes.annotations));
    let user = match outcome {
        Ok(user) => user,
        Err(refusal) => {
            tracing::warn!(
                path = asked.info.path,
                refusal = refusal.0,
                "authentication failed"
            );
            server.audit.begin_refused(record);
            return Err(ApiError::unauthorized("Unauthorized"));
        }
    };
    record.user = Some(Arc::clone(&user));
    let span = traces::begin(server.traces.as_ref(), step, parts, record, peer);
    let serving = identified(server, asked, user, form, record);
    let mut outcome = spans::within(span.clone(), serving).await;
    if let Some(span) = span {
        traces::end(&span, &mut outcome);
    }
    if notes.warnings.is_empty() {
        return outcome;
    }
    let mut response = outcome.unwrap_or_else(|error| answer::failure(&error, &form.choose()));
    answer::add_warnings(&mut response, &notes.warnings);
    Ok(response)
}

/// From the user to the answer.
async fn identified(
    server: &Arc<Server>,
    asked: Asked,
    user: Arc<User>,
    form: &FailureForm,
    record: &mut audit::Record,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let begins = traced("audit", server.audit.begin(record)).await;
    server.metrics.access.step(Step::Audit, begun.elapsed());
    if let Err(lost) = begins {
        return Ok(internal_error_text(&asked.arrived.parts.uri, &lost.to_string()));
    }
    let acting = acting_user(server, &asked, user, record);
    let user = traced("impersonation", acting).await?;
    let begun = Instant::now();
    let entering = inflight::enter(server, &user, &asked.info, &asked.query, asked.time);
    let mut entry = traced("priorityandfairness", entering).await;
    let access = &server.metrics.access;
    access.step(Step::PriorityAndFairness, begun.elapsed());
    let outcome = match entry.pass.take() {
        Some(pass) => allowed(server, asked, user, pass, form, record).await,
        None => {
            record.terminated = Some(APISERVER);
            Ok(entry.refusal())
        }
    };
    let mut response = outcome.unwrap_or_else(|error| answer::failure(&error, &form.choose()));
    entry.mark(&mut response);
    Ok(response)
}

/// One of the steps before the handler, as a span.
fn traced<F: Future>(step: &'static str, work: F) -> impl Future<Output = F::Output> {
    spans::traced(step, SpanKind::Internal, Vec::new, work)
}

fn note_authentication(server: &Server, peer: &Peer, user: Option<&User>, elapsed: Duration) {
    let metrics = &server.metrics.access;
    metrics.authenticated(user.map(|user| user.name.as_str()), elapsed);
    if let (Some(user), Some(certificate)) = (user, peer.certificate())
        && std::ptr::eq(user, &*certificate.user)
    {
        metrics.certificate(certificate.expires);
    }
}

/// From the right to run to the answer.
async fn allowed(
    server: &Arc<Server>,
    asked: Asked,
    user: Arc<User>,
    pass: Pass,
    form: &FailureForm,
    record: &mut audit::Record,
) -> Result<Response, ApiError> {
    let deadline = asked.deadline();
    let Asked {
        arrived, query, info, ..
    } = asked;
    let authorizing = authorize(server, &user, &info, &query, record);
    if let Err(refusal) = traced("authorization", authorizing).await {
        return match refusal {
            Refusal::Forbidden(error) => Err(error),
            Refusal::Undecided(why) => Ok(internal_error_text(&arrived.parts.uri, &why)),
        };
    }
    let remote = server.aggregator.routes().of(&info).cloned();
    if let Some(remote) = remote {
        let deadline = (!info.is_long_running()).then_some(deadline);
        let redirecting = !server.flags.aggregator_reject_forwarding_redirect;
        let forwarding = aggregator::proxy::forward(&remote, arrived, &user, record, redirecting).boxed();
        let outcome = within(deadline, forwarding).await;
        if outcome.is_err() {
            record.terminated = Some(APISERVER);
        }
        return outcome;
    }
    if let Some(peers) = &server.peers {
        let serving = peers.who_serves(&info, &arrived.parts.headers, &server.registry.load());
        if !serving.is_empty() {
            let deadline = (!info.is_long_running()).then_some(deadline);
            let forwarding = peers::proxy::forward(server, peers, &serving, &info, arrived, &user);
            return within(deadline, forwarding.boxed()).await?;
        }
    }
    let Arrived {
        parts,
        body: incoming,
        upgrade,
        peer,
        ..
    } = arrived;
    let hands_on = handlers::hands_on(&info);
    if !hands_on {
        check_encoding(&parts)?;
    }
    let long_running = info.is_long_running();
    let mutating = info.is_mutating() || parts.method == Method::POST;
    let verb = traces::verb(&server.registry, record, &parts.headers);
    let mut handed_on = None;
    let connects = handlers::connects(&info);
    let body = if hands_on || connects {
        handed_on = Some(HandedOn {
            body: incoming,
            query: parts.uri.query().map(str::to_owned),
            host: host_of(&parts),
            client: peer.address.ip(),
        });
        Bytes::new()
    } else {
        let body = read_body(&parts.method, incoming, deadline).await;
        body.inspect_err(|error| {
            let late = error.code() == StatusCode::GATEWAY_TIMEOUT.as_u16();
            record.terminated = late.then_some(APISERVER);
        })?
    };
    record.note_request(&server.registry.load(), &parts.headers, &body);
    record.body_bytes = body.len();
    traces::body_read(verb.as_ref(), &info, body.len());
    let compressible = compress::wanted(&parts.headers, &info) && server.has_feature(compress::FEATURE);
    let mut request = ApiRequest::new(parts.method, info, query, parts.headers, user, body, deadline);
    request.tells_object = record.tells_object();
    *request.handed_on.lock() = handed_on;
    let request = Arc::new(request);
    let handling = handled(Arc::clone(server), Arc::clone(&request), upgrade);
    let handling = spans::ended(verb, handling);
    let outcome = if long_running {
        // A watch keeps its seat until it has begun, not while it runs.
        let outcome = handling.await;
        drop(pass);
        outcome
    } else if mutating {
        // Detached: the client hanging up must not cut a write in half.
        let tracker = server.tracker.clone();
        let writing = async move {
            let outcome = handling.await;
            if let Some((seat, time)) = pass.afterwards() {
                tracker.spawn(async move {
                    tokio::time::sleep(time).await;
                    drop(seat);
                });
            }
            drop(pass);
            outcome
        };
        // In a box: a task is moved several times before it runs, and this is a large one.
        let mut task = server.tracker.spawn(Box::pin(spans::carried(writing)));
        match tokio::time::timeout_at(deadline.into(), &mut task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ApiError::internal(
                "the handler of this request failed unexpectedly",
            )),
            Err(_) => {
                record.terminated = Some(APISERVER);
                server.tracker.spawn(after_timeout(Arc::clone(server), task));
                Err(timed_out())
            }
        }
    } else {
        let outcome = tokio::time::timeout_at(deadline.into(), handling).await;
        drop(pass);
        outcome.unwrap_or_else(|_| {
            record.terminated = Some(APISERVER);
            Err(timed_out())
        })
    };
    let mut response = outcome.unwrap_or_else(|error| answer::failure(&error, &form.choose()));
    answer::add_warnings(&mut response, &request.take_warnings());
    let annotations = request.take_annotations();
    if !annotations.is_empty() {
        response.extensions_mut().insert(annotations);
    }
    if record.is_audited() {
        record.note_response(&server.registry.load(), &response);
    }
    Ok(if compressible {
        compress::apply(response)
    } else {
        response
    })
}

/// What the handler answers. Policies may ask for rights in the middle of an expression, which then waits for a webhook
/// if one is among the authorizers: the handler runs on a thread that serves nobody else.
async fn handled(
    server: Arc<Server>,
    request: Arc<ApiRequest>,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    if !server.authorizer.asks_others() {
        return handlers::dispatch(&server, &request, upgrade).await;
    }
    let runtime = tokio::runtime::Handle::current();
    let handling = spans::carried(async move { handlers::dispatch(&server, &request, upgrade).await });
    tokio::task::spawn_blocking(move || runtime.block_on(handling))
        .await
        .unwrap_or_else(|_| {
            Err(ApiError::internal(
                "the handler of this request failed unexpectedly",
            ))
        })
}

/// Counts how a write ended whose client has been told that it took too long.
async fn after_timeout(server: Arc<Server>, task: JoinHandle<Result<Response, ApiError>>) {
    let status = match task.await {
        Ok(Ok(_)) => "result",
        Ok(Err(_)) => "error",
        Err(_) => "panic",
    };
    server.metrics.after_timeout(status);
}

/// A request to another server; dropping it ends the exchange. The pass is held by the caller until then.
async fn within<T>(deadline: Option<Instant>, forwarding: impl Future<Output = T>) -> Result<T, ApiError> {
    match deadline {
        None => Ok(forwarding.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), forwarding)
            .await
            .map_err(|_| timed_out()),
    }
}

fn timed_out() -> ApiError {
    ApiError::timeout("request did not complete within the allotted timeout", 0)
}

/// Compressed request bodies are not taken: they would make the body limit meaningless.
fn check_encoding(parts: &Parts) -> Result<(), ApiError> {
    match &*header::first(&parts.headers, &http::header::CONTENT_ENCODING) {
        "" | "identity" => Ok(()),
        _ => Err(ApiError::unsupported_media_type(&[
            crate::media::JSON,
            crate::media::YAML,
        ])),
    }
}

/// A client that sends slowly has as long as the request in all.
async fn read_body(method: &Method, incoming: Incoming, deadline: Instant) -> Result<Bytes, ApiError> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout_at(deadline.into(), body::read(incoming)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error @ ReadError::TooLarge)) => Err(ApiError::request_entity_too_large(&error.to_string())),
        Ok(Err(error @ ReadError::Broken)) => Err(ApiError::bad_request(error.to_string())),
        Err(_) => Err(timed_out()),
    }
}

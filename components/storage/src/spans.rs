//! Spans of what is done for one request, for an OpenTelemetry collector. A span belongs to the one that is current;
//! where none is recorded none begins, which costs a look at the thread's current context.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{self, Poll};

use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use pin_project_lite::pin_project;

pub use opentelemetry::trace::SpanKind;

/// Whom spans are said to be from.
pub const SCOPE: &str = "kube-apiserver";

/// The first header of those that name the span at the caller's: <https://www.w3.org/TR/trace-context/>.
pub const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The current context, if what happens in it belongs to a trace, recorded or not.
fn present() -> Option<Context> {
    Context::map_current(|context| context.has_active_span().then(|| context.clone()))
}

/// The current context, if what happens in it is recorded.
fn recorded() -> Option<Context> {
    Context::map_current(|context| {
        (context.has_active_span() && context.span().is_recording()).then(|| context.clone())
    })
}

pin_project! {
    /// A future that runs in a context, if it has one. There is one place that polls it: with two of them, as in
    /// `Either`, a handler's code would be there twice.
    pub struct Within<F> {
        context: Option<Context>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _current = this.context.clone().map(Context::attach);
        this.future.poll(task)
    }
}

/// Makes `context` the current one whenever `future` runs.
pub fn within<F: Future>(context: Option<Context>, future: F) -> Within<F> {
    Within { context, future }
}

/// Takes the current context along to another task.
pub fn carried<F: Future>(future: F) -> Within<F> {
    within(present(), future)
}

/// A span that belongs to the current one; `attributes` are asked for only if it is recorded.
pub fn child(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Option<Context> {
    let parent = recorded()?;
    let tracer = global::tracer(SCOPE);
    let builder = tracer.span_builder(name).with_kind(kind);
    let span = builder
        .with_attributes(attributes())
        .start_with_context(&tracer, &parent);
    Some(parent.with_span(span))
}

/// Runs `future` within a span, which ends with it.
pub fn ended<F: Future>(span: Option<Context>, future: F) -> impl Future<Output = F::Output> {
    within(span.clone(), future).inspect(move |_| {
        if let Some(span) = &span {
            span.span().end();
        }
    })
}

/// Runs `future` in a span of its own.
pub fn traced<F: Future>(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    future: F,
) -> impl Future<Output = F::Output> {
    ended(child(name, kind, attributes), future)
}

/// What the spans within a request tell of it.
#[derive(Debug)]
pub struct Request {
    pub audit_id: String,
    /// Such as `HTTP/2.0`.
    pub protocol: String,
}

/// The Go type that upstream has for a resource, which spans name.
#[derive(Debug)]
pub struct ObjectType {
    /// As [`crate::ResourceSpec::name`] has it.
    pub resource: String,
    /// Such as `*core.Node`.
    pub name: String,
}

/// The id of the request that the current span belongs to.
pub fn audit_id() -> Option<KeyValue> {
    let id = |request: &Request| KeyValue::new("audit-id", request.audit_id.clone());
    Context::map_current(|context| context.get::<Request>().map(id))
}

/// What a span tells of an object. Its key is the one below the prefix of all; its type is known of the resource that the
/// request is about.
pub fn of_object(key: String, resource: &str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("key", key),
        KeyValue::new("resource", resource.to_owned()),
    ];
    attributes.extend(audit_id());
    Context::map_current(|context| {
        let known = context.get::<ObjectType>();
        if let Some(known) = known.filter(|known| known.resource == resource) {
            attributes.push(KeyValue::new("type", known.name.clone()));
        }
    });
    attributes
}

/// Tells the current span that something happened; `attributes` are asked for only if it is recorded.
pub fn event_with(name: &'static str, attributes: impl FnOnce() -> Vec<KeyValue>) {
    if let Some(context) = recorded() {
        context.span().add_event(name, attributes());
    }
}

/// The same of something that has no more to it.
pub fn event(name: &'static str) {
    event_with(name, Vec::new);
}

/// A span that is told of what happens while spans below it are the current ones.
#[derive(Clone, Debug)]
pub struct Outer(Option<Context>);

/// The current span, to be told of later.
pub fn outer() -> Outer {
    Outer(recorded())
}

impl Outer {
    /// Tells it that something happened.
    pub fn event(&self, name: &'static str) {
        if let Some(context) = &self.0 {
            context.span().add_event(name, Vec::new());
        }
    }
}

/// Tells the current span more.
pub fn note(attribute: impl FnOnce() -> KeyValue) {
    if let Some(context) = recorded() {
        context.span().set_attribute(attribute());
    }
}

/// Tells another server which span its work belongs to.
pub fn inject(headers: &mut HeaderMap) {
    if let Some(context) = present() {
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Outgoing(headers));
        });
    }
}

/// The span that a client says its request belongs to; None when it names none, or not as it should.
pub fn extract(headers: &HeaderMap) -> Option<Context> {
    if !headers.contains_key(TRACE_PARENT) {
        return None;
    }
    let context = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Incoming(headers))
    });
    let valid = context.span().span_context().is_valid();
    valid.then_some(context)
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            // An empty one says nothing, and some servers do not take it.
            if !value.is_empty() {
                self.0.insert(name, value);
            }
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_told_where_there_is_no_span() {
        let mut headers = HeaderMap::new();
        let kind = SpanKind::Internal;
        let unasked = || panic!("attributes of a span that is not recorded");
        event_with("work", unasked);
        outer().event("work");
        assert!(audit_id().is_none());
        let done = traced("work", kind, unasked, async {
            inject(&mut headers);
            7
        });
        assert_eq!(done.await, 7);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn headers_without_a_parent_name_no_span() {
        let mut headers = HeaderMap::new();
        assert!(extract(&headers).is_none());
        headers.insert(TRACE_PARENT, HeaderValue::from_static("nonsense"));
        assert!(extract(&headers).is_none());
    }
}

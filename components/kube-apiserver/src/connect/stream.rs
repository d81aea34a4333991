//! exec, attach and portforward, by the kubelet of the pod's node.
//!
//! Upstream's rule: what a client speaks goes to the kubelet as it is, except for WebSockets that only newer kubelets take,
//! which their nodes declare. For other kubelets this server ends them and speaks SPDY.

mod translated;
mod tunnelled;

use super::container::{self, encode, location, pod};
use super::destination::{Kubelet, WEBSOCKETS};
use super::relay::{self, Outgoing};
use crate::authorization::attributes::Attributes;
use crate::request::ApiRequest;
use crate::request_info::Query;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::target::Target;
use apimachinery::{ApiError, Reason};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use streams::remote_command::{V5, Wanted};
use streams::websocket::{Handshake, Refused};
use streams::{tunnel, websocket};

/// The protocols inside SPDY that a client offers, and the one that a server has chosen.
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: &str = "SPDY/3.1";
/// Headers that only a WebSocket has.
const OF_WEBSOCKETS: [HeaderName; 4] = [
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
];

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// The kubelet gets what the client says.
    PassedOn,
    /// Channels of a WebSocket become streams of SPDY.
    Translated,
    /// Messages of a WebSocket become the bytes of a SPDY connection.
    Tunnelled,
}

impl Treatment {
    /// Of the streams of a subresource to a kubelet that takes WebSockets, or not.
    fn of(
        subresource: &str,
        headers: &HeaderMap,
        takes_websockets: bool,
        has_feature: impl Fn(&str) -> bool,
    ) -> Self {
        if !websocket::is_requested(headers) || (takes_websockets && has_feature(WEBSOCKETS)) {
            return Self::PassedOn;
        }
        if subresource == "portforward" {
            let asked = tunnel::inner_protocols(headers).next().is_some();
            return if asked && has_feature("PortForwardWebsockets") {
                Self::Tunnelled
            } else {
                Self::PassedOn
            };
        }
        let asked = websocket::offered(headers).any(|name| name == V5);
        if asked && has_feature("TranslateStreamCloseWebsocketRequests") {
            Self::Translated
        } else {
            Self::PassedOn
        }
    }
}

/// A GET that opens a stream needs the right to create one, too.
async fn require_create(server: &Server, request: &ApiRequest) -> Result<(), ApiError> {
    let asked = server.has_feature("AuthorizePodWebsocketUpgradeCreatePermission");
    if request.info.verb == "create" || !asked {
        return Ok(());
    }
    let mut question = Attributes::of_request(&request.user, &request.info, &request.query);
    question.verb = std::borrow::Cow::Borrowed("create");
    let verdict = server.authorizer.decide(&question).await;
    if verdict.allowed() {
        return Ok(());
    }
    let resource = apimachinery::GroupResource::new(&*request.info.group, &*request.info.resource);
    Err(ApiError::forbidden(
        &resource,
        &request.info.name,
        &question.forbidden_message(verdict.reason()),
    ))
}

/// A request for a stream, of somebody who may open one.
struct Asked<'a> {
    server: &'a Server,
    request: &'a ApiRequest,
    target: &'a Target,
    pod: Value,
    upgrade: Option<OnUpgrade>,
}

impl<'a> Asked<'a> {
    /// If the client may open a stream, and there is the pod.
    async fn of(
        server: &'a Server,
        request: &'a ApiRequest,
        target: &'a Target,
        upgrade: Option<OnUpgrade>,
    ) -> Result<Self, ApiError> {
        require_create(server, request).await?;
        let upgrade = upgrade.filter(|_| relay::is_upgrade(&request.headers));
        let pod = pod(target).await?;
        Ok(Self {
            server,
            request,
            target,
            pod,
            upgrade,
        })
    }

    /// The stream by the kubelet, which knows it as `uri`.
    async fn answer(self, uri: String, wanted: Wanted) -> Result<Response, ApiError> {
        let Self {
            server,
            request,
            target,
            pod,
            upgrade,
        } = self;
        let Kubelet {
            destination,
            takes_websockets,
        } = location(server, target, &pod).await?;
        // Where it would go is told first, as upstream does.
        let Some(upgrade) = upgrade else {
            return Err(ApiError::bad_request("Upgrade request required"));
        };
        let subresource = target.subresource.as_str();
        let has_feature = |name: &str| server.has_feature(name);
        let treatment = Treatment::of(subresource, &request.headers, takes_websockets, has_feature);
        let metrics = &server.metrics.streams;
        if websocket::is_requested(&request.headers) {
            metrics.routed(subresource, treatment == Treatment::PassedOn);
        }
        let mut headers = request.headers.clone();
        let sender = request.handed_on.lock().take();
        if let Some(sender) = &sender {
            relay::forwarded_for(&mut headers, &sender.client.to_string());
        }
        let outgoing = Outgoing {
            method: request.method.clone(),
            uri,
            headers,
            body: relay::empty(),
            host: sender.and_then(|sender| sender.host),
            bytes_per_second: server.flags.max_connection_bytes_per_sec,
        };
        match treatment {
            Treatment::PassedOn => Ok(relay::send(&destination, outgoing, Some(upgrade)).await?),
            Treatment::Translated => translated::answer(metrics, destination, outgoing, wanted, upgrade),
            Treatment::Tunnelled => tunnelled::answer(metrics, &destination, outgoing, upgrade).await,
        }
    }
}

/// exec and attach.
pub async fn remote_command(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    let asked = Asked::of(server, request, target, upgrade).await?;
    let container = request.query.get("container").unwrap_or("");
    let container = container::container(&asked.pod, &target.name, container)?;
    let query = stream_query(&request.query);
    let uri = format!(
        "/{}/{}/{}/{container}{}",
        target.subresource,
        target.namespace,
        target.name,
        encode(&query)
    );
    asked.answer(uri, wanted(&query)).await
}

/// The kubelet's names of the options.
fn stream_query(query: &Query) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, kubelet_name) in [
        ("stdin", "input"),
        ("stdout", "output"),
        ("stderr", "error"),
        ("tty", "tty"),
    ] {
        // None is there by itself: a kubelet waits for all streams that it is told of.
        if query.is_true(name) {
            out.push((kubelet_name.to_owned(), "1".to_owned()));
        }
    }
    out.extend(
        query
            .all("command")
            .map(|word| ("command".to_owned(), word.to_owned())),
    );
    out
}

/// The streams that a kubelet makes of the options.
fn wanted(query: &[(String, String)]) -> Wanted {
    let has = |name: &str| query.iter().any(|(own, _)| own == name);
    Wanted {
        stdin: has("input"),
        stdout: has("output"),
        stderr: has("error") && !has("tty"),
        tty: has("tty"),
    }
}

pub async fn port_forward(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    let asked = Asked::of(server, request, target, upgrade).await?;
    let ports: Vec<(String, String)> = request
        .query
        .all("ports")
        .map(|port| ("port".to_owned(), port.to_owned()))
        .collect();
    let uri = format!(
        "/portForward/{}/{}{}",
        target.namespace,
        target.name,
        encode(&ports)
    );
    asked.answer(uri, Wanted::default()).await
}

/// Of a WebSocket that is ended here.
fn handshake(request: &Outgoing) -> Result<Handshake, ApiError> {
    Handshake::check(&request.method, &request.headers).map_err(|refused| {
        let reason = match refused {
            Refused::Method => Reason::MethodNotAllowed,
            Refused::Upgrade | Refused::Version | Refused::Key => Reason::BadRequest,
        };
        ApiError::new(refused.status().as_u16(), reason, refused.to_string(), None)
    })
}

/// Whether a kubelet that was asked for SPDY speaks it now.
fn speaks_spdy(answer: &HeaderMap) -> bool {
    let protocol = answer.get(UPGRADE).and_then(|value| value.to_str().ok());
    relay::is_upgrade(answer) && protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(SPDY))
}

/// The headers of a request for SPDY.
fn asking_for_spdy<'a>(mut headers: HeaderMap, protocols: impl Iterator<Item = &'a str>) -> HeaderMap {
    for name in OF_WEBSOCKETS {
        headers.remove(name);
    }
    headers.remove(PROTOCOL_VERSION);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    for protocol in protocols.filter_map(|protocol| HeaderValue::from_str(protocol).ok()) {
        headers.append(PROTOCOL_VERSION, protocol);
    }
    headers
}

#[cfg(test)]
mod tests;

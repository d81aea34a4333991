//! The pod and the container that are meant, where they are, and pods/log, which the kubelet of the pod's node gives.

use super::destination::{Kubelet, kubelet};
use super::listening::{Listener, unwanted};
use super::relay::{self, Outgoing};
use crate::request::ApiRequest;
use crate::request_info::Query;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use crate::stores;
use crate::verbs::target::Target;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, GroupVersionKind, Reason};
use bytes::{Buf, BufMut, Bytes};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, BodyStream};
use serde_json::{Value, json};
use storage::RequestedRevision;
use streams::listening::Form;
use streams::messages;

/// Longest error text that is read from a kubelet, bytes.
const ERROR_LIMIT: usize = 4096;

/// As it is stored.
pub(super) async fn pod(target: &Target) -> Result<Value, ApiError> {
    let object = target
        .store
        .get(&target.namespace, &target.name, RequestedRevision::Unset)
        .await
        .map_err(|error| target.error(error))?;
    stores::parse(&object).map_err(ApiError::internal)
}

/// The kubelet of the pod's node.
pub(super) async fn location(server: &Server, target: &Target, pod: &Value) -> Result<Kubelet, ApiError> {
    match pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        Some(node) => kubelet(server, node).await,
        None => Err(ApiError::bad_request(format!(
            "pod {} does not have a host assigned",
            target.name
        ))),
    }
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    pod["spec"][list]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The container that is meant: as asked, marked as default, or the only one.
pub(super) fn container(pod: &Value, name: &str, asked: &str) -> Result<String, ApiError> {
    let [containers, init, ephemeral] =
        ["containers", "initContainers", "ephemeralContainers"].map(|list| names(pod, list));
    if !asked.is_empty() {
        let known = containers
            .iter()
            .chain(&init)
            .chain(&ephemeral)
            .any(|known| known == asked);
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(ApiError::bad_request(format!(
                "container {asked} is not valid for pod {name}"
            )))
        };
    }
    let marked = apimachinery::meta::annotation(pod, "kubectl.kubernetes.io/default-container")
        .filter(|marked| containers.iter().any(|known| known == marked));
    match (marked, containers.as_slice()) {
        (Some(marked), _) => Ok(marked.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        (None, _) => {
            let mut why = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                containers.join(" ")
            );
            if !init.is_empty() {
                why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(ApiError::bad_request(why))
        }
    }
}

/// As a query, with its question mark.
pub(super) fn encode(pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(pairs);
    format!("?{}", out.finish())
}

/// Sub-protocols in which logs are sent: as bytes, or for clients that take text only.
const PROTOCOLS: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];

pub async fn log(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    listener: Option<Listener>,
) -> Result<Response, ApiError> {
    let query = log_query(
        &target.name,
        &request.query,
        server.has_feature("PodLogsQuerySplitStreams"),
    )?;
    let unverified = is_set(&request.query, "insecureSkipTLSVerifyBackend");
    server.metrics.log(unverified);
    let pod = pod(target).await?;
    let container = container(&pod, &target.name, request.query.get("container").unwrap_or(""))?;
    if pod["spec"]["nodeName"].as_str().unwrap_or("").is_empty() {
        // Nothing has run yet, so there is nothing to show.
        let mut response = crate::answer::with_body(StatusCode::NO_CONTENT, "text/plain", Body::empty());
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        return Ok(response);
    }
    let mut destination = location(server, target, &pod).await?.destination;
    if unverified {
        destination.tls = Some(server.backends.any_kubelet());
    }
    let uri = format!(
        "/containerLogs/{}/{}/{container}{}",
        target.namespace,
        target.name,
        encode(&query)
    );
    let outgoing = Outgoing {
        method: Method::GET,
        uri,
        headers: HeaderMap::new(),
        body: relay::empty(),
        host: None,
        bytes_per_second: server.flags.max_connection_bytes_per_sec,
    };
    let answer = relay::send(&destination, outgoing, None)
        .await
        .inspect_err(|failure| {
            if matches!(failure, relay::Failure::Untrusted(_)) {
                server.metrics.log_untrusted();
            }
        })?;
    if !answer.status().is_success() {
        return Err(kubelet_error(answer, target).await);
    }
    let (_, body) = answer.into_parts();
    Ok(match listener {
        Some(listener) => listened(listener, request, body),
        None => crate::answer::with_body(StatusCode::OK, "text/plain", body),
    })
}

/// The log as messages, of which the first says nothing but that the connection is made.
fn listened(listener: Listener, request: &ApiRequest, log: Body) -> Response {
    let Some(form) = messages::Form::chosen(&request.headers, &PROTOCOLS) else {
        return unwanted(StatusCode::FORBIDDEN);
    };
    let parts = BodyStream::new(log).filter_map(async |frame| match frame {
        Ok(frame) => {
            let mut data = frame.into_data().ok()?;
            Some(data.copy_to_bytes(data.remaining()))
        }
        Err(error) => {
            tracing::debug!(%error, "a log ended early");
            None
        }
    });
    let said = stream::once(std::future::ready(Bytes::new())).chain(parts);
    let in_messages = if form.is_text { Form::Base64 } else { Form::Bytes };
    listener.answer(request, form.name, in_messages, said)
}

/// What a kubelet says of an error, without the white space around it.
pub(super) async fn text(mut body: Body) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ERROR_LIMIT {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    bytes.put(data);
                }
            }
            Some(Err(error)) => return error.to_string(),
        }
    }
    bytes.truncate(ERROR_LIMIT);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

async fn kubelet_error(answer: Response, target: &Target) -> ApiError {
    let status = answer.status();
    let text = text(answer.into_body()).await;
    let reason = match status.as_u16() {
        400 => Reason::BadRequest,
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        500 => Reason::InternalError,
        503 => Reason::ServiceUnavailable,
        _ => Reason::Unknown,
    };
    let message = if text.is_empty() {
        format!("the kubelet answered {status} for pod {}", target.name)
    } else {
        text
    };
    ApiError::new(status.as_u16(), reason, message, None)
}

fn is_set(query: &Query, flag: &str) -> bool {
    query.is_true(flag) && query.get(flag) != Some("")
}

fn log_query(pod: &str, query: &Query, splits: bool) -> Result<Vec<(String, String)>, ApiError> {
    let mut out = Vec::new();
    let mut errors = Vec::new();
    for flag in ["follow", "previous", "timestamps"] {
        if is_set(query, flag) {
            out.push((flag.to_owned(), "true".to_owned()));
        }
    }
    for (name, least) in [("sinceSeconds", 1i64), ("tailLines", 0), ("limitBytes", 1)] {
        let Some(text) = query.get(name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let number: i64 = text.parse().map_err(|_| {
            ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        })?;
        if number < least {
            let why = if least == 1 {
                "must be greater than 0"
            } else {
                "must be greater than or equal to 0"
            };
            errors.push(Error::invalid(&Path::new(name), json!(number), why));
        }
        out.push((name.to_owned(), number.to_string()));
    }
    // Without the feature all of the log is told, whatever is asked for.
    let stream = query.get("stream").filter(|text| splits && !text.is_empty());
    if let Some(stream) = stream {
        if !matches!(stream, "All" | "Stdout" | "Stderr") {
            errors.push(Error::not_supported(
                &Path::new("stream"),
                stream,
                &["All", "Stderr", "Stdout"],
            ));
        } else if stream != "All" && query.get("tailLines").is_some_and(|text| !text.is_empty()) {
            errors.push(Error::forbidden(
                &Path::nameless(),
                "`tailLines` and specific `stream` are mutually exclusive for now",
            ));
        }
        out.push(("stream".to_owned(), stream.to_owned()));
    }
    if let Some(text) = query.get("sinceTime").filter(|text| !text.is_empty()) {
        apimachinery::time::parse_time(text).map_err(ApiError::bad_request)?;
        out.push(("sinceTime".to_owned(), text.to_owned()));
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        errors.push(Error::forbidden(
            &Path::new("sinceSeconds"),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    if errors.is_empty() {
        Ok(out)
    } else {
        Err(ApiError::invalid(
            &GroupVersionKind::new("", "v1", "PodLogOptions"),
            pod,
            &errors,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_chosen_as_kubectl_users_expect() {
        let one = json!({"spec": {"containers": [{"name": "a"}]}});
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&one, "p", "").unwrap(), "a");
        assert_eq!(container(&two, "p", "i").unwrap(), "i");
        assert_eq!(
            container(&two, "p", "x").unwrap_err().message(),
            "container x is not valid for pod p"
        );
        assert_eq!(
            container(&two, "p", "").unwrap_err().message(),
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        );
    }

    #[test]
    fn options_are_translated_for_the_kubelet() {
        let told = |text: &str, splits| log_query("p", &Query::parse(Some(text)), splits);
        assert!(told("tailLines=-1", false).is_err());
        assert!(told("stream=Neither", true).is_err());
        assert!(told("stream=Stderr&tailLines=5", true).is_err());
        for (text, splits, wanted) in [
            ("tailLines=5&follow=true", false, "?follow=true&tailLines=5"),
            ("stream=Stderr", true, "?stream=Stderr"),
            ("stream=Stderr&follow=true", false, "?follow=true"),
        ] {
            assert_eq!(encode(&told(text, splits).unwrap()), wanted, "{text}");
        }
    }
}

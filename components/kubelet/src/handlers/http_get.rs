//! HTTP probes: redirects on the same host are followed, certificates are not checked (as upstream: the
//! kubelet cannot know the authority that a container uses).

use std::sync::{Arc, LazyLock};

use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::HTTPHeader;
use x509::AnyServer;

use super::Outcome;

type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

const MAX_BODY: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

static CLIENT: LazyLock<Option<Client<Connector, Empty<bytes::Bytes>>>> = LazyLock::new(|| {
    let provider = Arc::new(x509::provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    // Each probe makes a connection of its own: an old one would say nothing about whether new ones work.
    Some(
        Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            // As upstream writes them; not every server reads them in small letters.
            .http1_title_case_headers(true)
            .build(connector),
    )
});

/// `agent` is who asks, when the headers do not say it.
pub(super) async fn get(url: &str, headers: &[HTTPHeader], agent: &'static str) -> Outcome {
    let Some(client) = CLIENT.as_ref() else {
        return Outcome::Failure("TLS is not available".to_owned());
    };
    let mut uri: Uri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return Outcome::Failure(format!("parse \"{url}\": {error}")),
    };
    for _ in 0..MAX_REDIRECTS {
        let request = match request(&uri, headers, agent) {
            Ok(request) => request,
            Err(error) => return Outcome::Failure(error),
        };
        let answer = match client.request(request).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Failure(format!("Get \"{uri}\": {}", cause(&error, &uri))),
        };
        let status = answer.status();
        if status.is_redirection() {
            let target = answer
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|to| redirect(&uri, to));
            match target {
                Some(target) if target.host() == uri.host() => {
                    uri = target;
                    continue;
                }
                _ => return Outcome::Success("Probe terminated redirects".to_owned()),
            }
        }
        let body = Limited::new(answer.into_body(), MAX_BODY)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&body).into_owned();
        return if status.is_success() {
            Outcome::Success(text)
        } else {
            Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        };
    }
    Outcome::Failure(format!("Get \"{uri}\": stopped after {MAX_REDIRECTS} redirects"))
}

fn redirect(from: &Uri, to: &str) -> Option<Uri> {
    if to.starts_with('/') {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = to.parse().ok();
        return Uri::from_parts(parts).ok();
    }
    to.parse::<Uri>().ok().filter(|uri| uri.host().is_some())
}

fn request(
    uri: &Uri,
    headers: &[HTTPHeader],
    agent: &'static str,
) -> Result<Request<Empty<bytes::Bytes>>, String> {
    let mut request = Request::get(uri.clone())
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let map = request.headers_mut();
    for given in headers {
        let name: HeaderName = given
            .name
            .parse()
            .map_err(|_| format!("invalid header name {:?}", given.name))?;
        let value: HeaderValue = given
            .value
            .parse()
            .map_err(|_| format!("invalid value of header {}", given.name))?;
        map.append(name, value);
    }
    map.entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(agent));
    map.entry(header::ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    map.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// The innermost cause, connection errors in the words that people know from upstream.
fn cause(error: &(dyn std::error::Error + 'static), uri: &Uri) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let address = uri.authority().map_or("", |authority| authority.as_str());
    match last.downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("dial tcp {address}: connect: connection refused")
        }
        Some(error) => format!("dial tcp {address}: {error}"),
        None => last.to_string(),
    }
}

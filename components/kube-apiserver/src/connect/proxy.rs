//! nodes/proxy, pods/proxy and services/proxy.

use super::destination::{Destination, ProxyName, kubelet};
use super::relay::{self, Failure, Outgoing};
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use crate::verbs::target::Target;
use crate::webhook::{ServicePort, port_name, ready_endpoints};
use apimachinery::ApiError;
use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

pub async fn handle(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    if request.info.rest.is_empty() && !request.info.path.ends_with('/') && request.method == Method::GET {
        return Ok(to_directory(request));
    }
    let name = ProxyName::parse(&target.name).ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid {} request {:?}",
            target.row.singular, target.name
        ))
    })?;
    let destination = match target.row.plural.as_str() {
        "nodes" => node(server, &name).await?,
        "pods" => pod(server, target, &name).await?,
        _ => service(server, target, &name).await?,
    };
    let outgoing = Outgoing {
        method: request.method.clone(),
        uri: path(request),
        headers: request.headers.clone(),
        body: request.body.clone(),
    };
    relay::send(&destination, outgoing, upgrade)
        .await
        .map_err(unreachable_service)
}

/// What cannot be reached behind the proxy is unavailable; it is no error of the gateway's own.
fn unreachable_service(failure: Failure) -> ApiError {
    match failure {
        Failure::Dial(reason) => {
            ApiError::service_unavailable(&format!("error trying to reach service: {reason}"))
        }
        other => other.into(),
    }
}

/// Relative links of the proxied page need the slash.
fn to_directory(request: &ApiRequest) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(value) = HeaderValue::from_str(&format!("{}/", request.info.path)) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// Everything after `/proxy`, with the query.
fn path(request: &ApiRequest) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SET: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'`')
        .add(b'{')
        .add(b'}')
        .add(b'%');
    let mut path = format!(
        "/{}",
        request
            .info
            .rest
            .iter()
            .map(|part| utf8_percent_encode(part, SET).to_string())
            .collect::<Vec<_>>()
            .join("/")
    );
    if request.info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    if !request.query.pairs().is_empty() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(request.query.pairs());
        path.push('?');
        path.push_str(&query.finish());
    }
    path
}

async fn node(server: &Server, name: &ProxyName) -> Result<Destination, ApiError> {
    let own = kubelet(server, &name.name).await?;
    match name.port.parse::<u16>() {
        Ok(port) if port != own.port => {
            let tls = (name.scheme == "https").then(|| Arc::clone(&server.backends.anonymous));
            Ok(Destination { port, tls, ..own })
        }
        _ => Ok(own),
    }
}

fn tls(server: &Server, name: &ProxyName) -> Option<Arc<rustls::ClientConfig>> {
    (name.scheme == "https").then(|| Arc::clone(&server.backends.anonymous))
}

/// Addresses that would lead back to the host itself.
fn check_address(address: &str) -> Result<(), ApiError> {
    match address.parse::<std::net::IpAddr>() {
        Ok(parsed) if parsed.is_loopback() || parsed.is_unspecified() || link_local(parsed) => {
            Err(ApiError::bad_request("address not allowed"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::bad_request("address not allowed")),
    }
}

fn link_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

async fn pod(server: &Server, target: &Target, name: &ProxyName) -> Result<Destination, ApiError> {
    let pod = server
        .stores
        .newest("", "pods", &target.namespace, &name.name)
        .await
        .map_err(ApiError::internal)?;
    let pod = pod.ok_or_else(|| ApiError::not_found(&target.resource(), &name.name))?;
    let host = pod["status"]["podIP"]
        .as_str()
        .filter(|address| !address.is_empty());
    let host = host
        .ok_or_else(|| ApiError::bad_request(format!("pod {} has no address", name.name)))?
        .to_owned();
    check_address(&host)?;
    let port = match name.port.as_str() {
        "" => pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|container| container["ports"][0]["containerPort"].as_u64())
            .unwrap_or(80),
        text => text
            .parse()
            .map_err(|_| ApiError::bad_request(format!("invalid port {text:?}")))?,
    };
    let port = u16::try_from(port).map_err(|_| ApiError::bad_request("invalid port"))?;
    Ok(Destination {
        host,
        port,
        tls: tls(server, name),
        way: server.egress.cluster.clone(),
    })
}

async fn service(server: &Server, target: &Target, name: &ProxyName) -> Result<Destination, ApiError> {
    let service = server
        .stores
        .newest("", "services", &target.namespace, &name.name)
        .await
        .map_err(ApiError::internal)?;
    let service = service.ok_or_else(|| ApiError::not_found(&target.resource(), &name.name))?;
    let none =
        || ApiError::service_unavailable(&format!("no endpoints available for service {:?}", name.name));
    let port_name = port_name(&service, ServicePort::Named(&name.port)).ok_or_else(|| {
        ApiError::service_unavailable(&format!(
            "no service port {:?} found for service {:?}",
            name.port, name.name
        ))
    })?;
    let slices = server
        .stores
        .newest_list("discovery.k8s.io", "endpointslices", &target.namespace)
        .await
        .map_err(ApiError::internal)?;
    let mut ready = ready_endpoints(&name.name, &port_name, &slices);
    if ready.is_empty() {
        return Err(none());
    }
    let (host, port) = ready.swap_remove(rand::random_range(0..ready.len()));
    check_address(&host)?;
    Ok(Destination {
        host,
        port,
        tls: tls(server, name),
        way: server.egress.cluster.clone(),
    })
}

//! nodes/proxy, pods/proxy and services/proxy.

use super::destination::{Destination, ProxyName, kubelet};
use super::relay::{self, Failure, Outgoing};
use super::rewrite::Rewriting;
use crate::answer;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use crate::verbs::target::Target;
use crate::webhook::{ServicePort, port_name, ready_endpoints};
use apimachinery::ApiError;
use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use std::net::IpAddr;
use std::sync::Arc;

pub async fn handle(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    let handed_on = request.handed_on.lock().take();
    let handed_on = handed_on.ok_or_else(|| ApiError::internal("the request has no body to pass on"))?;
    let upgrading = upgrade.is_some() && relay::is_upgrade(&request.headers);
    let looks = matches!(request.method, Method::GET | Method::HEAD);
    if request.info.rest.is_empty() && !request.info.path.ends_with('/') && looks && !upgrading {
        return Ok(to_directory(request, handed_on.query.as_deref()));
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
    let prefix = prefix(request);
    let path = path(request);
    let mut headers = request.headers.clone();
    if let Ok(uri) = HeaderValue::from_str(&format!("{prefix}{path}")) {
        headers.insert("x-forwarded-uri", uri);
    }
    relay::forwarded_for(&mut headers, &handed_on.client.to_string());
    let rewriting = Rewriting {
        prefix,
        authority: destination.authority(),
        host: handed_on.host.clone(),
    };
    let outgoing = Outgoing {
        method: request.method.clone(),
        uri: match handed_on.query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        },
        headers,
        body: if upgrading {
            relay::empty()
        } else {
            relay::passed_on(handed_on.body)
        },
        host: handed_on.host,
        bytes_per_second: server.flags.max_connection_bytes_per_sec,
    };
    let response = relay::send(&destination, outgoing, upgrade)
        .await
        .map_err(unreachable_service)?;
    Ok(match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => response,
        _ => {
            let mut response = rewriting.apply(response);
            answer::keep_private(response.headers_mut());
            response
        }
    })
}

/// What cannot be reached behind the proxy is unavailable; it is no error of the gateway's own.
fn unreachable_service(failure: Failure) -> ApiError {
    match failure {
        Failure::Dial(reason) | Failure::Untrusted(reason) => {
            ApiError::service_unavailable(&format!("error trying to reach service: {reason}"))
        }
        other => other.into(),
    }
}

/// Relative links of the proxied page need the slash.
fn to_directory(request: &ApiRequest, query: Option<&str>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&format!("{}/{query}", encoded(&request.info.path))) {
        response.headers_mut().insert(LOCATION, value);
    }
    answer::keep_private(response.headers_mut());
    response
}

fn encoded(path: &str) -> percent_encoding::PercentEncode<'_> {
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
    utf8_percent_encode(path, SET)
}

/// Everything after `/proxy`.
fn path(request: &ApiRequest) -> String {
    let mut path = format!("/{}", encoded(&request.info.rest.join("/")));
    if request.info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// The path up to and with `/proxy`.
fn prefix(request: &ApiRequest) -> String {
    let info = &request.info;
    let namespace = match info.resource.as_str() {
        "nodes" => String::new(),
        _ => format!("namespaces/{}/", encoded(&info.namespace)),
    };
    let (version, resource, name) = (&info.version, &info.resource, encoded(&info.name));
    format!("/{}/{version}/{namespace}{resource}/{name}/proxy", info.prefix)
}

async fn node(server: &Server, name: &ProxyName) -> Result<Destination, ApiError> {
    let own = kubelet(server, &name.name).await?.destination;
    match name.port.parse::<u16>() {
        Ok(port) if port != own.port => {
            check_host(&own.host).await?;
            let tls = (name.scheme == "https").then(|| Arc::clone(&server.backends.anonymous));
            Ok(Destination { port, tls, ..own })
        }
        _ => Ok(own),
    }
}

fn tls(server: &Server, name: &ProxyName) -> Option<Arc<rustls::ClientConfig>> {
    (name.scheme == "https").then(|| Arc::clone(&server.backends.anonymous))
}

/// Whoever may write a status could lead administrators to what listens on this host only.
fn check_address(address: IpAddr) -> Result<(), ApiError> {
    let refused = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
    match refused {
        true => Err(ApiError::bad_request("address not allowed")),
        false => Ok(()),
    }
}

/// The same for all addresses that a name has.
async fn check_host(host: &str) -> Result<(), ApiError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return check_address(address.to_canonical());
    }
    let found = tokio::net::lookup_host((host, 0)).await;
    for address in found.map_err(|error| ApiError::bad_request(error.to_string()))? {
        check_address(address.ip().to_canonical())?;
    }
    Ok(())
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
    check_host(&host).await?;
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
    check_host(&host).await?;
    Ok(Destination {
        host,
        port,
        tls: tls(server, name),
        way: server.egress.cluster.clone(),
    })
}

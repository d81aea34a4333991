//! Sending a request on to another API server.

use super::metrics::{Failed, SentOn};
use super::{Peers, SENT_ON, address};
use crate::aggregator::proxy;
use crate::answer;
use crate::identity::User;
use crate::request::Arrived;
use crate::request_info::RequestInfo;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::{HeaderValue, StatusCode};
use rand::seq::IndexedRandom;

/// Answers with what one of the `serving` servers answers.
pub async fn forward(
    server: &Server,
    peers: &Peers,
    serving: &[String],
    info: &RequestInfo,
    mut arrived: Arrived,
    user: &User,
) -> Result<Response, ApiError> {
    let failed = |kind: &'static str| {
        let labels = Failed {
            r#type: kind,
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
        };
        peers.metrics.failed.get_or_create(&labels).inc();
    };
    let mut addresses = Vec::new();
    for id in serving {
        match address::of(server, id).await {
            Ok(found) => addresses.extend(found),
            Err(error) => tracing::warn!(id, %error, "the address of an API server can't be read"),
        }
    }
    let Some(address) = addresses.choose(&mut rand::rng()) else {
        failed("endpoint_resolution");
        return Err(ApiError::service_unavailable(
            "Error getting ip and port info of the remote server while proxying",
        ));
    };
    let backend = peers.backend(address).map_err(|reason| {
        failed("proxy_transport");
        ApiError::service_unavailable(&reason)
    })?;
    let headers = &mut arrived.parts.headers;
    headers.insert(SENT_ON, HeaderValue::from_static("true"));
    let response = match proxy::exchange(&backend, address, arrived, user).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(address, %error, "a request could not be sent on to another API server");
            answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
    };
    let labels = SentOn {
        code: response.status().as_u16(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
    };
    peers.metrics.sent_on.get_or_create(&labels).inc();
    Ok(response)
}

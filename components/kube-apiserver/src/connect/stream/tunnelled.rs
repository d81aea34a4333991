//! port-forward of clients that speak SPDY inside a WebSocket, by kubelets that take no WebSockets.

use super::super::destination::Destination;
use super::super::relay::{self, Outgoing, Switch};
use super::{PROTOCOL_VERSION, asking_for_spdy, handshake, speaks_spdy};
use crate::metrics::streams::StreamMetrics;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use streams::tunnel::{self, PREFIX};
use streams::websocket;

/// Asks the kubelet for SPDY, and accepts the WebSocket if it speaks it; what else it answers goes to the client.
pub(super) async fn answer(
    metrics: &StreamMetrics,
    destination: &Destination,
    outgoing: Outgoing,
    upgrade: OnUpgrade,
) -> Result<Response, ApiError> {
    let result = opened(destination, outgoing, upgrade).await;
    metrics.tunnelled(match &result {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.code(),
    });
    result
}

async fn opened(
    destination: &Destination,
    outgoing: Outgoing,
    upgrade: OnUpgrade,
) -> Result<Response, ApiError> {
    let handshake = handshake(&outgoing)?;
    let client = outgoing.headers.clone();
    let pace = outgoing.bytes_per_second;
    let outgoing = Outgoing {
        method: Method::POST,
        headers: asking_for_spdy(outgoing.headers, tunnel::inner_protocols(&client)),
        ..outgoing
    };
    let (headers, kubelet) = match relay::switch(destination, outgoing).await? {
        Switch::Refused(answer) => {
            relay::check_upgrade(answer.status())?;
            return Ok(answer);
        }
        Switch::Made(headers, kubelet) => (headers, kubelet),
    };
    if !speaks_spdy(&headers) {
        return Err(ApiError::internal(
            "unable to upgrade: missing upgrade headers in response",
        ));
    }
    let work = async move {
        let (client, kubelet) = tokio::join!(websocket::open(upgrade), kubelet);
        let (client, kubelet) = match (client, kubelet) {
            (Ok(client), Ok(kubelet)) => (client, TokioIo::new(kubelet)),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "a connection could not change protocol");
                return;
            }
        };
        let carried = relay::at_pace(kubelet, pace, |kubelet| tunnel::carry(client, kubelet));
        if let Err(error) = carried.await {
            tracing::debug!(%error, "a tunnel ended");
        }
    };
    let chosen = chosen(&client, &headers);
    Ok(relay::switching(handshake.answer(chosen.as_deref()), work))
}

/// The subprotocol of what the kubelet speaks, if the client has offered it.
fn chosen(client: &HeaderMap, kubelet: &HeaderMap) -> Option<String> {
    let spoken = kubelet.get(PROTOCOL_VERSION)?.to_str().ok()?.trim();
    let name = format!("{PREFIX}{spoken}");
    websocket::offered(client)
        .any(|offer| offer == name)
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_told_what_the_kubelet_chose() {
        const OFFERED: &str = "SPDY/3.1+v2.portforward.k8s.io, SPDY/3.1+portforward.k8s.io";
        for (spoken, expected) in [
            (Some("portforward.k8s.io"), Some("SPDY/3.1+portforward.k8s.io")),
            (Some("v3.portforward.k8s.io"), None),
            (None, None),
        ] {
            let (mut client, mut kubelet) = (HeaderMap::new(), HeaderMap::new());
            client.insert("sec-websocket-protocol", OFFERED.parse().unwrap());
            if let Some(spoken) = spoken {
                kubelet.insert(PROTOCOL_VERSION, spoken.parse().unwrap());
            }
            assert_eq!(chosen(&client, &kubelet).as_deref(), expected, "{spoken:?}");
        }
    }
}

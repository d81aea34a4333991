//! The client CA as the cluster publishes it, for daemons that were given none: the API server keeps it in
//! the ConfigMap `kube-system/extension-apiserver-authentication`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::delegation::Delegation;
use crate::identity::ClientAuthority;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const KEY: &str = "client-ca-file";

const RETRY: Duration = Duration::from_secs(2);
const REFRESH: Duration = Duration::from_secs(60);

/// Reads the CA until it is there, and again now and then, since it may be replaced; a task of the daemon.
///
/// Until then client certificates are not accepted, tokens are.
pub async fn follow(delegation: Arc<Delegation>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut seen = None;
    let mut told = false;
    loop {
        let pause = match refresh(&delegation, &mut seen).await {
            Ok(()) => {
                told = false;
                REFRESH
            }
            Err(error) => {
                if !told {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the cluster's client CA cannot be read yet"
                    );
                }
                told = true;
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Gives what is published now to `delegation`, unless it has it.
async fn refresh(delegation: &Delegation, seen: &mut Option<String>) -> anyhow::Result<()> {
    let published = read(delegation.client()).await?;
    if seen.as_ref() == Some(&published) {
        return Ok(());
    }
    let origin = format!("ConfigMap {NAMESPACE}/{NAME}, {KEY}");
    delegation.trust(ClientAuthority::from_pem(&origin, published.as_bytes())?);
    tracing::info!("client certificates are checked against the CA that the cluster publishes");
    *seen = Some(published);
    Ok(())
}

async fn read(client: Client) -> anyhow::Result<String> {
    let map = Api::<ConfigMap>::namespaced(client, NAMESPACE)
        .get(NAME)
        .await
        .with_context(|| format!("cannot read ConfigMap {NAMESPACE}/{NAME}"))?;
    map.data
        .and_then(|mut data| data.remove(KEY))
        .with_context(|| format!("ConfigMap {NAMESPACE}/{NAME} has no {KEY}"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http::{HeaderMap, Request, Response, StatusCode};
    use kube::client::Body;
    use parking_lot::Mutex;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;
    use crate::delegation::Rejection;
    use crate::tls::Peer;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn peer(ca: &Ca) -> Peer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "prometheus");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap();
        Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificates: vec![certificate.der().clone()].into(),
        }
    }

    fn map(data: serde_json::Value) -> (StatusCode, serde_json::Value) {
        let metadata = serde_json::json!({ "name": NAME, "namespace": NAMESPACE });
        (
            StatusCode::OK,
            serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }),
        )
    }

    /// An API server that gives these answers, one after the other.
    fn api(answers: Vec<(StatusCode, serde_json::Value)>) -> Client {
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let service = tower::service_fn(move |request: Request<Body>| {
            assert_eq!(
                request.uri().path(),
                "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
            );
            let (status, body) = answers.lock().pop_front().expect("an answer");
            let response = Response::builder()
                .status(status)
                .body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn certificates_are_accepted_once_the_authority_is_published() {
        let (first, second) = (authority(), authority());
        let missing = serde_json::json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found" });
        let client = api(vec![
            (StatusCode::NOT_FOUND, missing),
            map(serde_json::json!({ "requestheader-client-ca-file": "x" })),
            map(serde_json::json!({ KEY: "no certificate" })),
            map(serde_json::json!({ KEY: first.pem() })),
            map(serde_json::json!({ KEY: first.pem() })),
            map(serde_json::json!({ KEY: "" })),
            map(serde_json::json!({ KEY: second.pem() })),
        ]);
        let delegation = Delegation::new(client, None);
        let (peers, mut seen) = ([peer(&first), peer(&second)], None);
        for (round, (read, accepted)) in [
            (false, [false, false]),
            (false, [false, false]),
            (false, [false, false]),
            (true, [true, false]),
            (true, [true, false]),
            // Something unusable doesn't take away what was known.
            (false, [true, false]),
            (true, [false, true]),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(
                refresh(&delegation, &mut seen).await.is_ok(),
                read,
                "round {round}"
            );
            for (peer, accepted) in peers.iter().zip(accepted) {
                let user = delegation.authenticate(Some(peer), &HeaderMap::new()).await;
                let want = if accepted {
                    Ok("prometheus")
                } else {
                    Err(&Rejection::Unauthorized)
                };
                assert_eq!(
                    user.as_ref().map(|user| user.name.as_str()),
                    want,
                    "round {round}"
                );
            }
        }
    }
}

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{HostNames, Issued, KeyMaterial};
use serde_json::json;

use super::{Offer, Token};
use crate::api::Api;
use crate::desired::GENERATION;
use crate::inventory::Inventory;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const PROFILE: &str = "kubelet-client";
/// The controller manager approves and signs within seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// The kubelet's identity: the one that the host holds while it is good, else one that it asks for with the token.
pub fn kubelet_client(
    endpoint: &str,
    authority: &str,
    token: &Token,
    offer: &Offer,
    inventory: &Inventory,
) -> anyhow::Result<Issued> {
    let profile = pki::profile(PROFILE).context("there is no profile of kubelets")?;
    let names = HostNames {
        name: offer.name.clone(),
        addresses: Vec::new(),
    };
    let wanted = profile.request(&names, &crate::identities::api_names(inventory));
    if let Some(held) = held()
        && pki::inspect_all(authority)?.len() == 1
        && pki::renewal(&held, &wanted, authority, SystemTime::now()).is_none()
    {
        return Ok(held);
    }
    let (key, request) = pki::client_request(&wanted.common_name, wanted.organization.as_deref())?;
    let api = Api::with_token(endpoint, authority, token.text())?;
    let made = api.post(
        REQUESTS,
        &json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": { "generateName": format!("hardway-{}-", offer.name) },
            "spec": {
                "request": STANDARD.encode(&request),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        }),
    )?;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    let certificate = api
        .wait("the certificate is issued", Instant::now() + DEADLINE, || {
            let found = api.get(&format!("{REQUESTS}/{name}"))?;
            let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            let refusal = conditions
                .filter(|condition| condition["type"] == "Denied" || condition["type"] == "Failed")
                .map(|condition| condition["message"].as_str().unwrap_or_default().to_owned())
                .next();
            if let Some(why) = refusal {
                return Ok(Some(Err(why)));
            }
            Ok(found["status"]["certificate"]
                .as_str()
                .map(|text| Ok(text.to_owned())))
        })
        .with_context(|| format!("the certificate request {name}"))?
        .map_err(|why| anyhow::anyhow!("the certificate request {name} was refused: {why}"))?;
    let certificate = STANDARD
        .decode(certificate)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .with_context(|| format!("the certificate of {name} is not PEM"))?;
    Ok(Issued { certificate, key })
}

/// What an earlier run left on this host.
fn held() -> Option<Issued> {
    let read = |suffix: &str| std::fs::read_to_string(format!("{GENERATION}/pki/{PROFILE}.{suffix}")).ok();
    Some(Issued {
        certificate: read("crt")?,
        key: KeyMaterial::from_pem(read("key")?),
    })
}

//! What the pods on the hosts hold: their tokens and the authorities that they were given.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::gates::Seen;
use crate::desired::sha256;

/// Of a token only the first part is read, which names its key and is no secret.
const TOKENS: &str = "cd /var/lib/kubelet/pods 2>/dev/null || exit 0; \
    for file in */volumes/kubernetes.io~projected/*/token; do \
    [ -f \"$file\" ] && printf '%s %s\\n' \"${file%%/*}\" \"$(cut -d. -f1 \"$file\")\"; done; true";
const AUTHORITIES: &str = "cd /var/lib/kubelet/pods 2>/dev/null || exit 0; \
    for file in */volumes/kubernetes.io~projected/*/ca.crt; do \
    [ -f \"$file\" ] && printf '%s %s\\n' \"${file%%/*}\" \"$(sha256sum <\"$file\" | cut -d' ' -f1)\"; done; true";

/// Pods and Secrets whose token was signed with another key than the present one. With `renew`, what gives them new
/// ones is set going: a kubelet keeps the tokens of its pods, and fetches others when it is started again.
pub fn old_tokens(seen: &Seen<'_>, renew: bool) -> anyhow::Result<Vec<String>> {
    let present = key_id(&seen.survey.secrets.service_account.public)?;
    let api = seen.api()?;
    let in_pods = in_pods(seen, &api, TOKENS, |header| {
        token_key_id(header).is_some_and(|id| id != present)
    })?;
    if renew {
        seen.fleet.each(
            "renewing tokens",
            |host| in_pods.contains_key(&host.name),
            |_, connection| {
                Ok(connection.script(
                    "starting the kubelet again",
                    "systemctl try-restart kubelet.service",
                )?)
            },
        )?;
    }
    let mut old: Vec<String> = in_pods.into_values().flatten().collect();
    let path = "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io/service-account-token";
    for secret in api.get(path)?["items"].as_array().into_iter().flatten() {
        let token = secret["data"]["token"]
            .as_str()
            .and_then(|token| STANDARD.decode(token).ok())
            .and_then(|token| String::from_utf8(token).ok());
        let id = token.and_then(|token| token_key_id(token.split('.').next()?));
        if id.is_some_and(|id| id != present) {
            let (namespace, name) = (&secret["metadata"]["namespace"], &secret["metadata"]["name"]);
            let (namespace, name) = (
                namespace.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default(),
            );
            // Without its token the controller manager gives it another.
            api.patch(
                &format!("/api/v1/namespaces/{namespace}/secrets/{name}"),
                &json!({ "data": { "token": null } }),
            )?;
            old.push(format!(
                "the token in Secret {namespace}/{name} was signed with the old key"
            ));
        }
    }
    Ok(old)
}

/// Pods whose volume holds another bundle than the present one.
pub fn old_root_ca(seen: &Seen<'_>, bundle: &str) -> anyhow::Result<Vec<String>> {
    let present = sha256(bundle.as_bytes());
    let found = in_pods(seen, &seen.api()?, AUTHORITIES, |hash| hash != present)?;
    Ok(found.into_values().flatten().collect())
}

/// Lines `UID VALUE` of the script on every host; those of running pods whose value is `old`, by host.
fn in_pods(
    seen: &Seen<'_>,
    api: &crate::api::Api,
    script: &str,
    old: impl Fn(&str) -> bool,
) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let answers = seen.fleet.each(
        "looking into pods",
        |host| host.is_node(),
        |_, connection| Ok(connection.script("looking into pods", script)?),
    )?;
    let running = running(&api.get("/api/v1/pods")?);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (host, answer) in answers {
        for (uid, value) in answer.lines().filter_map(|line| line.split_once(' ')) {
            if running.contains(uid) && old(value.trim()) {
                found
                    .entry(host.clone())
                    .or_default()
                    .push(format!("{host}: pod {uid} still has the old one"));
            }
        }
    }
    Ok(found)
}

/// UIDs of pods that have not ended and are not about to.
fn running(pods: &Value) -> BTreeSet<String> {
    let alive = |pod: &&Value| {
        !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
            && !pod["metadata"]["deletionTimestamp"].is_string()
    };
    pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(alive)
        .filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned))
        .collect()
}

/// The key identifier in a token's header.
fn token_key_id(header: &str) -> Option<String> {
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

/// A public key's identifier in tokens, as the API server writes it.
fn key_id(public: &str) -> anyhow::Result<String> {
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use rustls::pki_types::pem::PemObject as _;
    use sha2::Digest as _;
    let der = SubjectPublicKeyInfoDer::from_pem_slice(public.as_bytes())
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("the service-account key cannot be read")?;
    Ok(URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&der)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_their_key() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"abc"}"#);
        assert_eq!(token_key_id(&header).as_deref(), Some("abc"));
        assert_eq!(token_key_id("nonsense"), None);
    }

    #[test]
    fn ended_pods_do_not_count() {
        let pods = json!({ "items": [
            { "metadata": { "uid": "a" }, "status": { "phase": "Running" } },
            { "metadata": { "uid": "b" }, "status": { "phase": "Succeeded" } },
            { "metadata": { "uid": "c", "deletionTimestamp": "x" }, "status": { "phase": "Running" } },
        ] });
        assert_eq!(running(&pods), BTreeSet::from(["a".to_owned()]));
    }
}

//! Whom a host may believe, found out with nothing but a token and the hash of an authority.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;

use super::{Offer, Token, authority_hashes};
use crate::api::{Api, is_status};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// The authorities of the cluster (PEM). What an endpoint that nobody vouches for says is taken only when the token has
/// signed it and every authority in it has one of the hashes; then it is asked again, and must say the same.
pub fn discover(endpoint: &str, token: &Token, hashes: &[String]) -> anyhow::Result<String> {
    let said = Api::unverified(endpoint)?.get(CLUSTER_INFO).map_err(|error| {
        match is_status(&error, StatusCode::NOT_FOUND) {
            true => error.context("the cluster takes nobody in: make a token with hardway node token create"),
            false => error,
        }
    })?;
    let authorities = authorities(&said, token, hashes)?;
    let again = Api::anonymous(endpoint, &authorities)?.get(CLUSTER_INFO)?;
    anyhow::ensure!(
        again["data"]["kubeconfig"] == said["data"]["kubeconfig"],
        "{endpoint} said something else when it had to show its certificate"
    );
    Ok(authorities)
}

/// Checks what an endpoint said.
fn authorities(said: &Value, token: &Token, hashes: &[String]) -> anyhow::Result<String> {
    let kubeconfig = said["data"]["kubeconfig"]
        .as_str()
        .context("cluster-info holds no kubeconfig")?;
    let signature = said["data"][format!("jws-kubeconfig-{}", token.id)]
        .as_str()
        .with_context(|| {
            format!(
                "the cluster does not know the token {}, or it has expired; make another with hardway node token create",
                token.id
            )
        })?;
    anyhow::ensure!(
        token.has_signed(kubeconfig, signature),
        "the token {} has another secret than the cluster's; is it whole?",
        token.id
    );
    let config: Value = serde_yaml_ng::from_str(kubeconfig).context("cluster-info is not YAML")?;
    let encoded = config["clusters"][0]["cluster"]["certificate-authority-data"]
        .as_str()
        .context("cluster-info names no authority")?;
    let text = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .context("the authority in cluster-info is not PEM")?;
    let found = authority_hashes(&text)?;
    anyhow::ensure!(!found.is_empty(), "cluster-info names no authority");
    let wrong: Vec<&str> = found
        .iter()
        .filter(|hash| !hashes.iter().any(|pinned| pinned.eq_ignore_ascii_case(hash)))
        .map(String::as_str)
        .collect();
    anyhow::ensure!(
        wrong.is_empty(),
        "the cluster's authority has the hash {}, not {}: either the hash is wrong, or this is another cluster",
        wrong.join(", "),
        hashes.join(", ")
    );
    Ok(text)
}

/// What the operator prepared for whoever has this token.
pub fn offer(endpoint: &str, authorities: &str, token: &Token) -> anyhow::Result<Offer> {
    let api = Api::with_token(endpoint, authorities, token.text())?;
    let path = format!(
        "/api/v1/namespaces/kube-system/secrets/{}",
        super::objects::offer_name(&token.id)
    );
    let secret = api.get(&path).map_err(|error| {
        if is_status(&error, StatusCode::UNAUTHORIZED) {
            error.context("the token is wrong or has expired; make another with hardway node token create")
        } else if is_status(&error, StatusCode::NOT_FOUND) || is_status(&error, StatusCode::FORBIDDEN) {
            error.context("nothing was prepared for this token; make one with hardway node token create NAME")
        } else {
            error
        }
    })?;
    let encoded = secret["data"][super::objects::OFFER].as_str().unwrap_or_default();
    let text = STANDARD.decode(encoded).context("the offer is not base64")?;
    // A parser's message could show a piece of a key.
    serde_json::from_slice(&text).map_err(|_| {
        anyhow::anyhow!("the offer cannot be read; make another token with the hardway that runs here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::hmac;
    use serde_json::json;

    fn signed(content: &str, token: &Token) -> String {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "kid": token.id }).to_string());
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
        let tag = hmac::sign(
            &key,
            format!("{header}.{}", URL_SAFE_NO_PAD.encode(content)).as_bytes(),
        );
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn authority() -> String {
        let now = std::time::SystemTime::now();
        let made = pki::CertificateAuthority::generate(pki::Authority::Kubernetes, "lab", now).unwrap();
        made.certificate().to_owned()
    }

    #[test]
    fn only_what_is_signed_and_pinned_is_believed() {
        let (token, other) = (Token::generate(), Token::generate());
        let (ours, foreign) = (authority(), authority());
        let pinned = authority_hashes(&ours).unwrap();
        let content = |authorities: &str| {
            json!({ "clusters": [{ "cluster": { "certificate-authority-data": STANDARD.encode(authorities) } }] })
                .to_string()
        };
        let info = |text: &str, by: &Token| json!({ "data": { "kubeconfig": text, (format!("jws-kubeconfig-{}", by.id)): signed(text, by) } });
        let good = info(&content(&ours), &token);
        assert_eq!(authorities(&good, &token, &pinned).unwrap(), ours);
        let mut changed = good.clone();
        changed["data"]["kubeconfig"] = json!(content(&foreign));
        let mut forged = token.clone();
        forged.secret = other.secret.clone();
        for (said, expected) in [
            (json!({}), "no kubeconfig"),
            (info(&content(&ours), &other), "does not know the token"),
            (changed, "another secret"),
            (info(&content(&ours), &forged), "another secret"),
            (info(&content(&foreign), &token), "has the hash sha256:"),
            // One more authority than is pinned would be believed as well.
            (
                info(&content(&format!("{ours}{foreign}")), &token),
                "has the hash sha256:",
            ),
            (info(&content(""), &token), "no authority"),
            (info("{", &token), "not YAML"),
        ] {
            let error = authorities(&said, &token, &pinned).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

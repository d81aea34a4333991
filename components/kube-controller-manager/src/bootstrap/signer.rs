//! Signs kube-public/cluster-info with each bootstrap token, so that a joining node can check it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};
use ring::hmac;

use super::token::{NAMESPACE, Token, is_token, signing};
use crate::error::Result;
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "bootstrap-signer";
const PUBLIC: &str = "kube-public";
const NAME: &str = "cluster-info";
const CONTENT: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";

struct Signer {
    secrets: Informer<Secret>,
    maps: Informer<ConfigMap>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let signer = Arc::new(Signer {
        secrets: super::token::informer(&context),
        maps: Informer::start(
            Api::namespaced(context.root.client.clone(), PUBLIC),
            watcher::Config::default().fields(&format!("metadata.name={NAME}")),
            context.shutdown.clone(),
        ),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(signer.secrets, signer.maps) {
            return;
        }
        // One key: everything is signed in one go.
        let (queue, key): (Queue<Key>, Key) = (Queue::new(), (PUBLIC.to_owned(), NAME.to_owned()));
        let (keys, only) = (queue.clone(), key.clone());
        signer.secrets.on_change(move |change: &Change<Secret>| {
            if is_token(change.object()) {
                keys.add(only.clone());
            }
        });
        let keys = queue.clone();
        signer.maps.on_change(move |change: &Change<ConfigMap>| {
            if change.object().namespace() == PUBLIC && change.object().name() == NAME {
                keys.add(key.clone());
            }
        });
        work(
            "bootstrap-signer",
            &context,
            queue,
            1,
            signer,
            |signer, _| async move { signer.reconcile().await },
        )
        .await;
    }
    .boxed()
}

impl Signer {
    async fn reconcile(&self) -> Result<Requeue> {
        let Some(map) = self.maps.get(PUBLIC, NAME) else {
            return Ok(Requeue::No);
        };
        let now = Timestamp::now();
        let tokens: Vec<Token> = self
            .secrets
            .list_namespace(NAMESPACE)
            .iter()
            .filter_map(|secret| signing(secret, now))
            .collect();
        let known = map.data.clone().unwrap_or_default();
        let Some(signed) = sign(&known, &tokens) else {
            return Ok(Requeue::No);
        };
        if signed != known {
            let mut updated = map.as_ref().clone();
            updated.data = Some(signed);
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), PUBLIC);
            api.replace(NAME, &PostParams::default(), &updated).await?;
        }
        Ok(Requeue::No)
    }
}

/// The map's data with one signature for each token and no others; None when there is nothing to sign.
fn sign(data: &BTreeMap<String, String>, tokens: &[Token]) -> Option<BTreeMap<String, String>> {
    let content = data.get(CONTENT)?;
    let mut signed = data.clone();
    signed.retain(|key, _| !key.starts_with(SIGNATURE));
    signed.extend(
        tokens
            .iter()
            .map(|token| (format!("{SIGNATURE}{}", token.id), signature(content, token))),
    );
    Some(signed)
}

/// A JWS without its payload, which the reader has.
fn signature(content: &str, token: &Token) -> String {
    let header = URL_SAFE_NO_PAD.encode(serde_json::json!({"alg": "HS256", "kid": token.id}).to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
    let tag = hmac::sign(
        &key,
        format!("{header}.{}", URL_SAFE_NO_PAD.encode(content)).as_bytes(),
    );
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn every_token_signs_and_others_do_not() {
        let token = Token {
            id: "abcdef".to_owned(),
            secret: "0123456789abcdef".to_owned(),
        };
        let signed = sign(
            &data(&[
                ("kubeconfig", "x"),
                ("jws-kubeconfig-gone00", "y"),
                ("other", "z"),
            ]),
            std::slice::from_ref(&token),
        )
        .unwrap();
        let keys: Vec<_> = signed.keys().map(String::as_str).collect();
        assert_eq!(keys, ["jws-kubeconfig-abcdef", "kubeconfig", "other"]);
        assert_eq!(
            sign(&signed, &[token]),
            Some(signed.clone()),
            "signing again changes nothing"
        );
        assert_eq!(sign(&data(&[("other", "z")]), &[]), None);
    }

    #[test]
    fn signatures_can_be_checked_by_their_parts() {
        let token = Token {
            id: "joshua".to_owned(),
            secret: "my_secret".to_owned(),
        };
        let text = signature(
            "Hello from the other side. I must have called a thousand times.",
            &token,
        );
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(
            URL_SAFE_NO_PAD.decode(parts[0]).unwrap(),
            br#"{"alg":"HS256","kid":"joshua"}"#
        );
        assert_eq!(parts[1], "");
        let signed = format!(
            "{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode("Hello from the other side. I must have called a thousand times.")
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"my_secret");
        hmac::verify(
            &key,
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
        )
        .unwrap();
    }
}

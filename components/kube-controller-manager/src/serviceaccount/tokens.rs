//! Tokens of service accounts that are kept in secrets: such a secret is filled, and goes with its account.

use std::sync::Arc;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::json;

use crate::error::{Error, Result, ignore_not_found, is_conflict, is_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const ISSUER: &str = "kubernetes/serviceaccount";

struct Controller {
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
    client: Client,
    context: Arc<Context>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    if context.files.token_key.is_none() {
        tracing::info!("no --service-account-private-key-file: secrets for service accounts get no tokens");
        return futures::future::ready(()).boxed();
    }
    // As upstream, with the process's own rights: other controllers may need such a token first.
    let client = context.root.client.clone();
    let controller = Arc::new(Controller {
        secrets: Informer::start(
            Api::all(client.clone()),
            watcher::Config::default().fields(&format!("type={TYPE}")),
            context.shutdown.clone(),
        ),
        accounts: context.informer(),
        client,
        context: context.clone(),
    });
    async move {
        if !crate::synced!(controller.secrets, controller.accounts) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .secrets
            .on_change(move |change: &Change<Secret>| keys.add(key_of(change.object().as_ref())));
        let (this, keys) = (controller.clone(), queue.clone());
        controller
            .accounts
            .on_change(move |change: &Change<ServiceAccount>| {
                // A new account fills the secrets that waited for it; one that is gone takes its own along.
                let account = change.object();
                let waiting = this.secrets.list_namespace(account.namespace());
                waiting
                    .iter()
                    .filter(|secret| names(secret) == account.name())
                    .for_each(|secret| keys.add(key_of(secret.as_ref())));
            });
        work(
            "serviceaccount-token",
            &context,
            queue,
            context.flags.concurrent_serviceaccount_token_syncs,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// The account that a secret is for.
fn names(secret: &Secret) -> &str {
    secret.annotation(ACCOUNT_NAME).unwrap_or_default()
}

/// Whether a secret is for just this account, and not for an earlier one of the same name.
fn is_for(secret: &Secret, account: &ServiceAccount) -> bool {
    let uid = secret.annotation(ACCOUNT_UID).unwrap_or_default();
    names(secret) == account.name() && (uid.is_empty() || uid == account.uid())
}

/// The secret with what it lacks, if it lacks something. `sign` makes a token.
fn filled(
    secret: &Secret,
    account: &ServiceAccount,
    bundle: &[u8],
    sign: impl FnOnce(&serde_json::Value) -> Result<String>,
) -> Result<Option<Secret>> {
    let has = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .is_some_and(|value| !value.0.is_empty())
    };
    let known = secret.data.as_ref().and_then(|data| data.get("ca.crt"));
    let other_bundle = !bundle.is_empty() && known.is_none_or(|known| known.0 != bundle);
    let bound = secret.annotation(ACCOUNT_UID) == Some(account.uid());
    if has("token") && has("namespace") && !other_bundle && bound {
        return Ok(None);
    }
    let name = secret.name().to_owned();
    let mut updated = secret.clone();
    let mut put = |key: &str, value: Vec<u8>| {
        updated
            .data
            .get_or_insert_default()
            .insert(key.to_owned(), ByteString(value));
    };
    if other_bundle {
        put("ca.crt", bundle.to_vec());
    }
    if !has("namespace") {
        put("namespace", account.namespace().as_bytes().to_vec());
    }
    if !has("token") {
        put("token", sign(&claims(account, &name))?.into_bytes());
    }
    updated
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(ACCOUNT_UID.to_owned(), account.uid().to_owned());
    Ok(Some(updated))
}

/// What a token without an end says: it holds as long as its secret and its account are there.
fn claims(account: &ServiceAccount, secret: &str) -> serde_json::Value {
    let (namespace, name) = (account.namespace(), account.name());
    json!({
        "iss": ISSUER,
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret,
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": account.uid(),
    })
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(secret) = self
            .secrets
            .get(&key.0, &key.1)
            .filter(|secret| !names(secret).is_empty())
        else {
            return Ok(Requeue::No);
        };
        match self.account(&key.0, &secret).await? {
            Some(account) => self.fill(&secret, &account).await,
            None => self.delete(&secret).await,
        }
    }

    /// The account of a secret. Before there is said to be none the server is asked, as our copy may be old.
    async fn account(&self, namespace: &str, secret: &Secret) -> Result<Option<ServiceAccount>> {
        if let Some(account) = self
            .accounts
            .get(namespace, names(secret))
            .filter(|account| is_for(secret, account))
        {
            return Ok(Some(account.as_ref().clone()));
        }
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = api.get_opt(names(secret)).await?;
        Ok(account.filter(|account| is_for(secret, account)))
    }

    async fn fill(&self, secret: &Secret, account: &ServiceAccount) -> Result<Requeue> {
        let files = &self.context.files;
        let Some(key) = &files.token_key else {
            return Ok(Requeue::No);
        };
        let sign = |claims: &serde_json::Value| {
            pki::tokens::sign(key, claims)
                .map_err(|error| Error::invalid("token for secret", secret.name(), error))
        };
        // No authority is written when it is not known.
        let Some(updated) = filled(secret, account, files.root_authority.as_bytes(), sign)? else {
            return Ok(Requeue::No);
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), secret.namespace());
        match api.replace(secret.name(), &PostParams::default(), &updated).await {
            Ok(_) => Ok(Requeue::No),
            // What changed is seen, and tells us again.
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(Requeue::No),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, secret: &Secret) -> Result<Requeue> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), secret.namespace());
        let same = Preconditions {
            uid: Some(secret.uid().to_owned()),
            resource_version: secret.metadata.resource_version.clone(),
        };
        let outcome = api
            .delete(secret.name(), &DeleteParams::default().preconditions(same))
            .await;
        match outcome {
            Err(error) if is_conflict(&error) => Ok(Requeue::No),
            outcome => {
                ignore_not_found(outcome)?;
                Ok(Requeue::No)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: &str) -> ServiceAccount {
        serde_json::from_value(json!({"metadata": {"name": "robot", "namespace": "n", "uid": uid}})).unwrap()
    }

    fn secret(uid: Option<&str>, data: serde_json::Value) -> Secret {
        let mut annotations = json!({ACCOUNT_NAME: "robot"});
        if let Some(uid) = uid {
            annotations[ACCOUNT_UID] = json!(uid);
        }
        serde_json::from_value(json!({
            "metadata": {"name": "robot-token", "namespace": "n", "annotations": annotations},
            "type": TYPE,
            "data": data,
        }))
        .unwrap()
    }

    fn fill(secret: &Secret, bundle: &[u8]) -> Option<Secret> {
        filled(secret, &account("u"), bundle, |claims| {
            Ok(claims["sub"].as_str().unwrap().to_owned())
        })
        .unwrap()
    }

    #[test]
    fn a_secret_gets_what_it_lacks_and_no_more() {
        let full = fill(&secret(None, json!({"extra": "eA=="})), b"authority").unwrap();
        let data = full.data.clone().unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("token"), "system:serviceaccount:n:robot");
        assert_eq!(
            (
                text("namespace").as_str(),
                text("ca.crt").as_str(),
                text("extra").as_str()
            ),
            ("n", "authority", "x")
        );
        assert_eq!(full.annotation(ACCOUNT_UID), Some("u"));
        // Filled once, it stays as it is until the authority changes.
        assert_eq!(fill(&full, b"authority"), None);
        assert_eq!(fill(&full, b""), None);
        let renewed = fill(&full, b"other").unwrap();
        assert_eq!(renewed.data.unwrap()["token"], data["token"]);
    }

    #[test]
    fn a_secret_is_for_one_account_and_not_for_the_next_of_its_name() {
        for (uid, fits) in [(None, true), (Some("u"), true), (Some("gone"), false)] {
            assert_eq!(is_for(&secret(uid, json!({})), &account("u")), fits, "{uid:?}");
        }
    }
}

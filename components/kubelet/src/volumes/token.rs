//! Service-account tokens of pods: requested, kept, renewed before they expire.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use crate::pod::members::PodView;

/// Pod UID, audience, lifetime.
type Key = (String, String, i64);

#[derive(Clone)]
struct Kept {
    token: String,
    expires: Timestamp,
    lifetime: i64,
}

/// The tokens; clones share them.
#[derive(Clone)]
pub struct Tokens {
    client: Option<Client>,
    kept: Arc<Mutex<HashMap<Key, Kept>>>,
}

/// A token older than this many seconds is renewed whatever its lifetime.
const OLDEST: i64 = 24 * 3600;

impl Kept {
    /// At four fifths of the lifetime, as upstream.
    fn renew_at(&self) -> Timestamp {
        let issued = self.expires.as_second() - self.lifetime;
        let age = (self.lifetime * 8 / 10).min(OLDEST);
        Timestamp::from_second(issued + age).unwrap_or(self.expires)
    }
}

impl Tokens {
    pub fn new(client: Option<Client>) -> Self {
        Self {
            client,
            kept: Arc::default(),
        }
    }

    /// A token for a projection and the time at which it has to be renewed.
    pub async fn get(
        &self,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
    ) -> Result<(String, Timestamp), String> {
        let lifetime = projection.expiration_seconds.unwrap_or(3600);
        let audience = projection.audience.clone().unwrap_or_default();
        let key = (pod.uid().to_owned(), audience.clone(), lifetime);
        let now = Timestamp::now();
        let kept = self.kept.lock().get(&key).cloned();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew_at()) {
            return Ok((kept.token.clone(), kept.renew_at()));
        }
        match self.request(pod, audience, lifetime).await {
            Ok(fresh) => {
                let answer = (fresh.token.clone(), fresh.renew_at());
                self.kept.lock().insert(key, fresh);
                Ok(answer)
            }
            // An old token is better than none while it is valid.
            Err(error) => match kept.filter(|kept| now < kept.expires) {
                Some(kept) => {
                    tracing::warn!(pod = %pod.full_name(), error, "token cannot be renewed yet");
                    Ok((
                        kept.token,
                        now.saturating_add(SignedDuration::from_secs(30)).unwrap_or(now),
                    ))
                }
                None => Err(error),
            },
        }
    }

    async fn request(&self, pod: &Pod, audience: String, lifetime: i64) -> Result<Kept, String> {
        let account = pod
            .view()
            .service_account_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or("default");
        let client = self
            .client
            .clone()
            .ok_or("there is no API server to request a token from")?;
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(if audience.is_empty() {
                    Vec::new()
                } else {
                    vec![audience]
                }),
                expiration_seconds: Some(lifetime),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.name().to_owned()),
                    uid: Some(pod.uid().to_owned()),
                }),
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(client, pod.namespace());
        let answer: TokenRequest = api
            .create_subresource("token", account, &PostParams::default(), &request)
            .await
            .map_err(|error| format!("failed to fetch token: {error}"))?;
        let status = answer
            .status
            .ok_or("the API server answered a token request without a token")?;
        let lifetime = answer
            .spec
            .and_then(|spec| spec.expiration_seconds)
            .unwrap_or(lifetime);
        match (status.token, status.expiration_timestamp) {
            (Some(token), Some(expires)) => Ok(Kept {
                token,
                expires: expires.0,
                lifetime,
            }),
            _ => Err("the API server answered a token request without a token".to_owned()),
        }
    }

    /// Forgets the tokens of a pod.
    pub fn forget(&self, uid: &str) {
        self.kept.lock().retain(|key, _| key.0 != uid);
    }
}

//! A client per controller, each acting as its own service account, so that RBAC limits every controller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use client::Connection;
use http::{Request, Response, StatusCode};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::Body;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use parking_lot::Mutex;
use tower::BoxError;

const NAMESPACE: &str = "kube-system";
const TOKEN_SECONDS: i64 = 3600;

/// Makes and keeps the controllers' clients.
pub struct Accounts {
    root: Connection,
    /// `--use-service-account-credentials`; otherwise everything acts as the process itself.
    separate: bool,
    clients: Mutex<AHashMap<&'static str, Client>>,
}

impl Accounts {
    pub fn new(root: Connection, separate: bool) -> Self {
        Self {
            root,
            separate,
            clients: Mutex::default(),
        }
    }

    pub fn client(&self, name: &'static str) -> Client {
        if !self.separate {
            return self.root.client.clone();
        }
        let mut clients = self.clients.lock();
        clients
            .entry(name)
            .or_insert_with(|| {
                let account = Arc::new(Account {
                    name,
                    root: self.root.clone(),
                    current: tokio::sync::Mutex::new(None),
                });
                let service = tower::service_fn(move |request: Request<Body>| {
                    let account = account.clone();
                    async move { account.send(request).await }
                });
                Client::new(service, NAMESPACE)
            })
            .clone()
    }
}

struct Current {
    client: Client,
    renew_at: Instant,
}

struct Account {
    name: &'static str,
    root: Connection,
    current: tokio::sync::Mutex<Option<Current>>,
}

impl Account {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let client = self.client().await?;
        let response = client.send(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            // The account was deleted and made anew, or the keys were rotated: the next request gets a new token.
            *self.current.lock().await = None;
        }
        Ok(response)
    }

    async fn client(&self) -> Result<Client, BoxError> {
        let mut current = self.current.lock().await;
        if let Some(current) = &*current
            && Instant::now() < current.renew_at
        {
            return Ok(current.client.clone());
        }
        match self.request().await {
            Ok(fresh) => Ok(current.insert(fresh).client.clone()),
            // The token at hand is good for a while yet.
            Err(error) => match &*current {
                Some(old) => {
                    tracing::warn!(account = self.name, %error, "cannot renew the service account token");
                    Ok(old.client.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn request(&self) -> Result<Current, BoxError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.root.client.clone(), NAMESPACE);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let asked = Instant::now();
        let answer = match api
            .create_token_request(self.name, &PostParams::default(), &request)
            .await
        {
            Err(error) if crate::error::is_not_found(&error) => {
                let account = ServiceAccount {
                    metadata: ObjectMeta {
                        name: Some(self.name.to_owned()),
                        namespace: Some(NAMESPACE.to_owned()),
                        ..ObjectMeta::default()
                    },
                    ..ServiceAccount::default()
                };
                match api.create(&PostParams::default(), &account).await {
                    Err(error) if !crate::error::is_already_exists(&error) => return Err(error.into()),
                    _ => {}
                }
                api.create_token_request(self.name, &PostParams::default(), &request)
                    .await?
            }
            answer => answer?,
        };
        let status = answer.status.unwrap_or_default();
        let (Some(token), Some(expires)) = (status.token, status.expiration_timestamp) else {
            return Err("the token request was answered without a token".into());
        };
        let lifetime = expires.0.duration_since(jiff::Timestamp::now());
        let lifetime = Duration::try_from(lifetime).unwrap_or(Duration::ZERO);
        Ok(Current {
            client: self.root.with_token(token.into_bytes())?.client,
            renew_at: asked + lifetime.mul_f64(0.8),
        })
    }
}

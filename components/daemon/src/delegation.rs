//! Authentication and authorization that the API server is asked for: client certificates against the
//! client CA, bearer tokens by TokenReview, permissions by SubjectAccessReview, with upstream's cache times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};

use crate::identity::{ClientAuthority, User};
use crate::tls::Peer;

const TOKEN_TTL: Duration = Duration::from_secs(120);
const TOKEN_FAILURE_TTL: Duration = Duration::from_secs(10);
const ALLOWED_TTL: Duration = Duration::from_secs(300);
const DENIED_TTL: Duration = Duration::from_secs(30);
const REMEMBERED: usize = 1024;

/// What somebody wants to do, in the terms of a SubjectAccessReview.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    NonResource {
        path: String,
        verb: String,
    },
    Resource {
        group: String,
        version: String,
        resource: String,
        subresource: String,
        name: String,
        namespace: String,
        verb: String,
    },
}

impl Action {
    /// The request's path as a non-resource URL.
    pub fn of_path(method: &Method, path: &str) -> Self {
        Self::NonResource {
            path: path.to_owned(),
            verb: verb(method).to_owned(),
        }
    }
}

/// The verb that upstream derives from a method for non-resource and kubelet requests.
pub fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::HEAD | Method::GET => "get",
        _ => "",
    }
}

/// Asks the API server who somebody is and what they may do.
pub struct Delegation {
    client: Client,
    authority: RwLock<Option<Arc<ClientAuthority>>>,
    tokens: Mutex<AHashMap<[u8; 32], (Option<User>, Instant)>>,
    decisions: Mutex<AHashMap<(User, Action), (bool, Instant)>>,
}

/// Why a request is turned away.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejection {
    Unauthorized,
    Forbidden {
        user: String,
        action: Action,
    },
    /// The API server could not be asked.
    Unavailable,
}

impl Rejection {
    fn into_response(self) -> Response {
        match self {
            Rejection::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized").into_response(),
            Rejection::Forbidden { user, action } => {
                let what = match action {
                    Action::NonResource { path, verb } => format!("verb={verb}, path={path}"),
                    Action::Resource {
                        verb,
                        resource,
                        subresource,
                        ..
                    } => {
                        format!("verb={verb}, resource={resource}, subresource={subresource}")
                    }
                };
                (StatusCode::FORBIDDEN, format!("Forbidden (user={user}, {what})")).into_response()
            }
            Rejection::Unavailable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the API server could not be asked",
            )
                .into_response(),
        }
    }
}

impl Delegation {
    pub fn new(client: Client, authority: Option<ClientAuthority>) -> Self {
        Self {
            client,
            authority: RwLock::new(authority.map(Arc::new)),
            tokens: Mutex::default(),
            decisions: Mutex::default(),
        }
    }

    /// The client that reviews are sent with.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Client certificates are checked against `authority` from now on.
    pub(crate) fn trust(&self, authority: ClientAuthority) {
        *self.authority.write() = Some(Arc::new(authority));
    }

    /// Who sent the request. There are no anonymous users here.
    pub async fn authenticate(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Result<User, Rejection> {
        let authority = self.authority.read().clone();
        if let (Some(authority), Some(peer)) = (authority, peer)
            && !peer.certificates.is_empty()
        {
            match authority.verify(&peer.certificates) {
                Ok(mut user) => {
                    user.groups.push("system:authenticated".to_owned());
                    return Ok(user);
                }
                Err(error) => tracing::debug!(%error, "client certificate not accepted"),
            }
        }
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .ok_or(Rejection::Unauthorized)?;
        self.review_token(token).await?.ok_or(Rejection::Unauthorized)
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, Rejection> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some((user, until)) = self.tokens.lock().get(&key)
            && *until > Instant::now()
        {
            return Ok(user.clone());
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let answer = Api::<TokenReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "TokenReview failed");
                Rejection::Unavailable
            })?;
        let status = answer.status.unwrap_or_default();
        let user = status
            .user
            .filter(|_| status.authenticated == Some(true))
            .map(|info| User {
                name: info.username.unwrap_or_default(),
                uid: info.uid.unwrap_or_default(),
                groups: info.groups.unwrap_or_default(),
            });
        let ttl = if user.is_some() {
            TOKEN_TTL
        } else {
            TOKEN_FAILURE_TTL
        };
        remember(&mut self.tokens.lock(), key, user.clone(), ttl);
        Ok(user)
    }

    /// Whether the API server lets `user` do `action`.
    pub async fn authorize(&self, user: &User, action: &Action) -> Result<(), Rejection> {
        let key = (user.clone(), action.clone());
        let known = self
            .decisions
            .lock()
            .get(&key)
            .filter(|(_, until)| *until > Instant::now())
            .map(|(allowed, _)| *allowed);
        let allowed = match known {
            Some(allowed) => allowed,
            None => {
                let allowed = self.review_access(user, action).await?;
                let ttl = if allowed { ALLOWED_TTL } else { DENIED_TTL };
                remember(&mut self.decisions.lock(), key, allowed, ttl);
                allowed
            }
        };
        if allowed {
            Ok(())
        } else {
            Err(Rejection::Forbidden {
                user: user.name.clone(),
                action: action.clone(),
            })
        }
    }

    async fn review_access(&self, user: &User, action: &Action) -> Result<bool, Rejection> {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: some(&user.uid),
            groups: Some(user.groups.clone()),
            extra: Some(BTreeMap::new()),
            ..SubjectAccessReviewSpec::default()
        };
        match action {
            Action::NonResource { path, verb } => {
                spec.non_resource_attributes = Some(NonResourceAttributes {
                    path: some(path),
                    verb: some(verb),
                });
            }
            Action::Resource {
                group,
                version,
                resource,
                subresource,
                name,
                namespace,
                verb,
            } => {
                spec.resource_attributes = Some(ResourceAttributes {
                    group: some(group),
                    version: some(version),
                    resource: some(resource),
                    subresource: some(subresource),
                    name: some(name),
                    namespace: some(namespace),
                    verb: some(verb),
                    ..ResourceAttributes::default()
                });
            }
        }
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let answer = Api::<SubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "SubjectAccessReview failed");
                Rejection::Unavailable
            })?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Authenticates, then authorizes the first of `actions` that is allowed (upstream's fine-grained kubelet
    /// permissions try a narrow resource before the wide one).
    pub async fn check(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
        actions: &[Action],
    ) -> Result<User, Rejection> {
        let user = self.authenticate(peer, headers).await?;
        let mut rejection = Rejection::Unavailable;
        for action in actions {
            match self.authorize(&user, action).await {
                Ok(()) => return Ok(user),
                Err(error) => rejection = error,
            }
        }
        Err(rejection)
    }
}

fn remember<K: std::hash::Hash + Eq, V>(
    cache: &mut AHashMap<K, (V, Instant)>,
    key: K,
    value: V,
    ttl: Duration,
) {
    let now = Instant::now();
    if cache.len() >= REMEMBERED {
        cache.retain(|_, (_, until)| *until > now);
        if cache.len() >= REMEMBERED {
            cache.clear();
        }
    }
    cache.insert(key, (value, now + ttl));
}

/// Axum middleware that lets a request through when its path, as a non-resource URL, is allowed.
/// Health paths are open, as upstream's `--authorization-always-allow-paths` has them by default.
pub async fn require_path(
    State(delegation): State<Arc<Delegation>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if ["/healthz", "/livez", "/readyz"]
        .iter()
        .any(|open| path == *open || path.starts_with(&format!("{open}/")))
    {
        return next.run(request).await;
    }
    let action = Action::of_path(request.method(), path);
    let peer = request.extensions().get::<Peer>().cloned();
    match delegation
        .check(peer.as_ref(), request.headers(), &[action])
        .await
    {
        Ok(_) => next.run(request).await,
        Err(rejection) => rejection.into_response(),
    }
}

/// The answer for a rejected request.
pub fn reject(rejection: Rejection) -> Response {
    rejection.into_response()
}

//! Who sends a request.

pub mod bootstrap_token;
pub mod front_proxy;
pub mod impersonation;
pub mod lookup;
pub mod service_account;
pub mod token_cache;
pub mod x509;

use crate::identity::User;
use crate::serving::certificates::ClientAuthority;
use crate::serving::peer::Peer;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lookup::Lookup;
use std::sync::Arc;

/// The credentials were there but not good.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// A user, and the audiences that the credential was good for (tokens only).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticated {
    pub user: Arc<User>,
    pub audiences: Vec<String>,
}

/// All ways to authenticate, in upstream's order.
pub struct Authenticator {
    pub front_proxy: Option<front_proxy::FrontProxy>,
    pub client_authority: Option<Arc<ClientAuthority>>,
    pub tokens: TokenAuthenticator,
    pub anonymous: bool,
}

impl Authenticator {
    /// Finds out who sent a request.
    pub async fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<Arc<User>, Rejected> {
        let mut refusals = Vec::new();
        if let Some(front_proxy) = &self.front_proxy {
            match front_proxy.authenticate(headers, peer) {
                Ok(Some(user)) => return Ok(Arc::new(user.authenticated())),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        if let Some(authority) = &self.client_authority {
            match x509::authenticate(authority, peer) {
                Ok(Some(user)) => return Ok(user),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        if let Some(token) = bearer_token(headers) {
            match self.tokens.authenticate(token, &[]).await {
                Ok(Some(found)) => return Ok(found.user),
                Ok(None) => refusals.push("invalid bearer token".to_owned()),
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        if !refusals.is_empty() {
            return Err(Rejected(refusals.join(", ")));
        }
        if self.anonymous {
            Ok(Arc::new(User::anonymous()))
        } else {
            Err(Rejected("no credentials".to_owned()))
        }
    }
}

/// The token of an Authorization header, or of the WebSocket sub-protocol that browsers use.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Everything that takes bearer tokens.
pub struct TokenAuthenticator {
    pub service_accounts: service_account::ServiceAccountTokens,
    pub bootstrap: bool,
    pub lookup: Arc<dyn Lookup>,
    pub cache: token_cache::TokenCache,
}

impl TokenAuthenticator {
    /// Checks a token. `audiences` empty means those of the API server.
    pub async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, Rejected> {
        if let Some(known) = self.cache.get(token, audiences) {
            return known.map_err(Rejected);
        }
        let outcome = self.check(token, audiences).await;
        self.cache.put(
            token,
            audiences,
            outcome
                .as_ref()
                .map(Clone::clone)
                .map_err(|refusal| refusal.0.clone()),
        );
        outcome
    }

    async fn check(&self, token: &str, audiences: &[String]) -> Result<Option<Authenticated>, Rejected> {
        if let Some(found) = self
            .service_accounts
            .authenticate(token, audiences, &*self.lookup)
            .await?
        {
            return Ok(Some(found));
        }
        if self.bootstrap
            && let Some(user) = bootstrap_token::authenticate(token, &*self.lookup).await?
        {
            return Ok(Some(Authenticated {
                user: Arc::new(user.authenticated()),
                audiences: Vec::new(),
            }));
        }
        Ok(None)
    }
}

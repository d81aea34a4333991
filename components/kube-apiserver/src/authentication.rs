//! Who sends a request.

pub mod anonymous;
pub mod bootstrap_token;
mod flights;
pub mod front_proxy;
pub mod impersonation;
pub mod lookup;
pub mod notes;
pub mod oidc;
pub mod service_account;
pub mod static_tokens;
pub mod token_cache;
pub mod webhook;
pub mod websocket;
pub mod x509;

use crate::header;
use crate::identity::User;
use crate::metrics::tokens::TokenMetrics;
use crate::serving::certificates::ClientAuthority;
use crate::serving::peer::Peer;
use anonymous::Anonymous;
use futures::FutureExt;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lookup::Lookup;
use notes::Notes;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Upstream's.
const SPACE_BEFORE_TOKEN: &str =
    "the provided Authorization header contains extra space before the bearer token, and is ignored";

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
    /// Whether users have the uids of their certificates (AllowParsingUserUIDFromCertAuth).
    pub certificates_have_uids: bool,
    pub tokens: TokenAuthenticator,
    pub anonymous: Anonymous,
}

impl Authenticator {
    /// Uses other issuers from now on.
    pub fn replace(&self, issuers: Vec<oidc::Issuer>) {
        self.tokens.issuers.replace(issuers);
        self.tokens.cache.clear();
    }

    /// Finds out who sent a request for a path. What is to be said of the token is in `notes` afterwards.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        path: &str,
        notes: &mut Notes,
    ) -> Result<Arc<User>, Rejected> {
        let mut refusals = Vec::new();
        if let Some(front_proxy) = &self.front_proxy {
            match front_proxy.authenticate(headers, peer) {
                Ok(Some(user)) => return Ok(Arc::new(user.authenticated())),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        if let Some(authority) = &self.client_authority {
            match x509::authenticate(authority, peer, self.certificates_have_uids) {
                Ok(Some(user)) => return Ok(user),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        if let Some(token) = bearer_token(headers, notes) {
            match self.tokens.authenticate(&token, &[], notes).boxed().await {
                Ok(Some(found)) => return Ok(found.user),
                Ok(None) => refusals.push("invalid bearer token".to_owned()),
                Err(refusal) => refusals.push(refusal.0),
            }
        }
        match websocket::token(headers) {
            Ok(None) => {}
            Ok(Some(token)) => match self.tokens.authenticate(&token, &[], notes).boxed().await {
                Ok(Some(found)) => return Ok(found.user),
                Ok(None) => refusals.push("invalid bearer token".to_owned()),
                Err(refusal) => refusals.push(refusal.0),
            },
            Err(refusal) => refusals.push(refusal.0),
        }
        if !refusals.is_empty() {
            return Err(Rejected(refusals.join(", ")));
        }
        if self.anonymous.allows(path) {
            Ok(Arc::new(User::anonymous()))
        } else {
            Err(Rejected("no credentials".to_owned()))
        }
    }
}

/// The token of an Authorization header: its second word.
fn bearer_token<'h>(headers: &'h HeaderMap, notes: &mut Notes) -> Option<Cow<'h, str>> {
    match header::text(headers.get(AUTHORIZATION)?) {
        Cow::Borrowed(given) => token_of(given, notes).map(Cow::Borrowed),
        Cow::Owned(given) => token_of(&given, notes).map(|token| Cow::Owned(token.to_owned())),
    }
}

fn token_of<'h>(given: &'h str, notes: &mut Notes) -> Option<&'h str> {
    let mut words = given.trim().splitn(3, ' ');
    let (scheme, token) = (words.next()?, words.next()?);
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    if token.is_empty() && words.next().is_some() {
        notes.warn(SPACE_BEFORE_TOKEN);
    }
    (!token.is_empty()).then_some(token)
}

/// Everything that takes bearer tokens.
pub struct TokenAuthenticator {
    pub static_tokens: Option<static_tokens::StaticTokens>,
    pub service_accounts: service_account::ServiceAccountTokens,
    pub bootstrap: bool,
    pub issuers: oidc::Issuers,
    pub webhook: Option<Arc<webhook::KnownTokens>>,
    pub lookup: Arc<dyn Lookup>,
    pub cache: token_cache::TokenCache,
    pub metrics: TokenMetrics,
}

impl TokenAuthenticator {
    /// Checks a token. `audiences` empty means those of the API server. What is to be said of it is in `notes` afterwards.
    pub async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
        notes: &mut Notes,
    ) -> Result<Option<Authenticated>, Rejected> {
        if let Some(tokens) = &self.static_tokens
            && let Some(user) = tokens.authenticate(token)
        {
            return Ok(self.for_us(user, audiences));
        }
        let began = Instant::now();
        if let Some((known, noted)) = self.cache.get(token, audiences) {
            self.metrics.asked(true, began.elapsed());
            notes.extend(noted);
            return known.map_err(Rejected);
        }
        let running = self.metrics.fetching();
        let mut noted = Notes::default();
        let outcome = self.fetch(token, audiences, &mut noted).await;
        notes.extend(noted);
        drop(running);
        self.metrics.fetched(outcome.is_ok());
        self.metrics.asked(false, began.elapsed());
        outcome
    }

    async fn fetch(
        &self,
        token: &str,
        audiences: &[String],
        notes: &mut Notes,
    ) -> Result<Option<Authenticated>, Rejected> {
        let outcome = self.check(token, audiences, notes).await;
        self.cache.put(token, audiences, kept(&outcome), notes);
        match (outcome, &self.webhook) {
            (Ok(Some(found)), _) => Ok(Some(found)),
            (other, None) => other,
            // Nobody else's; the others' refusals say nothing about it then.
            (other, Some(webhook)) => match webhook.authenticate(token, audiences).await {
                Ok(None) => other,
                decided => decided,
            },
        }
    }

    /// Each kind of token in turn; one kind's refusal doesn't keep the next from being tried.
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
        notes: &mut Notes,
    ) -> Result<Option<Authenticated>, Rejected> {
        let mut refusals: Vec<String> = Vec::new();
        let mut note = |outcome: Result<Option<Authenticated>, Rejected>| match outcome {
            Ok(found) => found,
            Err(refusal) => {
                refusals.push(refusal.0);
                None
            }
        };
        let of_account = self
            .service_accounts
            .authenticate(token, audiences, &*self.lookup, notes)
            .await;
        if let Some(found) = note(of_account) {
            return Ok(Some(found));
        }
        if self.bootstrap {
            let found = bootstrap_token::authenticate(token, &*self.lookup).await;
            let found = found
                .map(|user| user.and_then(|user| self.for_us(Arc::new(user.authenticated()), audiences)));
            if let Some(found) = note(found) {
                return Ok(Some(found));
            }
        }
        let of_issuer = self.issuers.authenticate(token).await;
        if let Some(found) = note(of_issuer.map(|user| user.and_then(|user| self.for_us(user, audiences)))) {
            return Ok(Some(found));
        }
        if refusals.is_empty() {
            Ok(None)
        } else {
            Err(Rejected(refusals.join(", ")))
        }
    }

    /// A credential that names no audience stands for the API server's own. `None` if others were asked about.
    fn for_us(&self, user: Arc<User>, asked: &[String]) -> Option<Authenticated> {
        let own = &self.service_accounts.issuer.audiences;
        let audiences: Vec<String> = asked
            .iter()
            .filter(|audience| own.contains(audience))
            .cloned()
            .collect();
        (asked.is_empty() || !audiences.is_empty()).then_some(Authenticated { user, audiences })
    }
}

fn kept(outcome: &Result<Option<Authenticated>, Rejected>) -> Result<Option<Authenticated>, String> {
    match outcome {
        Ok(known) => Ok(known.clone()),
        Err(refusal) => Err(refusal.0.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_the_second_word() {
        for (header, token, warned) in [
            ("Bearer abc", Some("abc"), false),
            ("bearer abc", Some("abc"), false),
            (" BEARER abc ", Some("abc"), false),
            ("Bearer abc def", Some("abc"), false),
            ("Bearer \u{fc}", Some("\u{fc}"), false),
            ("Bearer  abc", None, true),
            ("Bearer", None, false),
            ("Bearer ", None, false),
            ("Basic abc", None, false),
            ("", None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            let mut notes = Notes::default();
            assert_eq!(bearer_token(&headers, &mut notes).as_deref(), token, "{header:?}");
            assert_eq!(!notes.warnings.is_empty(), warned, "{header:?}");
        }
    }
}

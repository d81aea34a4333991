//! Service-account tokens: signature, audience, time, and the objects that they are bound to.

mod bound;
mod legacy;

use super::lookup::Lookup;
use super::notes::Notes;
use super::{Authenticated, Rejected};
use crate::identity::{CREDENTIAL_ID, User, service_account_user};
use crate::metrics::tokens::TokenMetrics;
use crate::tokens::claims::{Claims, KubernetesClaims};
use crate::tokens::issue::{LEGACY_ISSUER, TokenIssuer};
use crate::tokens::jwt::{self, TokenError};
use std::sync::Arc;

/// Tolerated difference between clocks, seconds.
const LEEWAY: i64 = 60;

/// Whose token of a secret it is, in the audit log.
const LEGACY_TOKEN: &str = "authentication.k8s.io/legacy-token";
/// How long ago a token should have been renewed, in the audit log.
const STALE_TOKEN: &str = "authentication.k8s.io/stale-token";

/// Checks tokens that the issuer's keys signed.
#[derive(Clone)]
pub struct ServiceAccountTokens {
    pub issuer: Arc<TokenIssuer>,
    /// Whether the secrets of tokens that are kept in secrets must still be there, and their accounts. What other tokens are
    /// bound to always must.
    pub check_legacy: bool,
    pub metrics: TokenMetrics,
}

impl ServiceAccountTokens {
    /// `None` if the token isn't from one of our issuers at all.
    pub async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
        lookup: &dyn Lookup,
        notes: &mut Notes,
    ) -> Result<Option<Authenticated>, Rejected> {
        let Ok(peek) = jwt::unverified::<Claims>(token) else {
            return Ok(None);
        };
        let is_legacy = peek.iss == LEGACY_ISSUER;
        if !is_legacy && !self.issuer.issuers.contains(&peek.iss) {
            return Ok(None);
        }
        let claims: Claims = match self.issuer.verify(token).await {
            Ok(claims) => claims,
            Err(TokenError::Malformed) => return Ok(None),
            Err(error) => return Err(Rejected(error.to_string())),
        };
        let wanted = if audiences.is_empty() {
            &self.issuer.audiences
        } else {
            audiences
        };
        // Legacy tokens carry no audience and stand for the API server's own.
        let carried = if claims.aud.is_empty() && is_legacy {
            notes.annotate(LEGACY_TOKEN, claims.sub.clone());
            self.metrics.legacy();
            &self.issuer.audiences
        } else {
            &claims.aud
        };
        let common: Vec<String> = wanted
            .iter()
            .filter(|audience| carried.contains(audience))
            .cloned()
            .collect();
        if common.is_empty() && !wanted.is_empty() {
            return Err(Rejected(format!(
                "token audiences {carried:?} is invalid for the target audiences {wanted:?}"
            )));
        }
        let now = jiff::Timestamp::now().as_second();
        check_time(&claims, now)?;
        let user = if is_legacy {
            legacy::user_of(token, &claims, self.check_legacy, lookup, &self.metrics, notes).await?
        } else {
            let user = self.bound(&claims, lookup).await?;
            self.note_age(&claims, now, notes);
            user
        };
        Ok(Some(Authenticated {
            user: Arc::new(user.authenticated()),
            audiences: common,
        }))
    }

    /// Tells whether a token that outlives what was asked for should have been renewed. Of others there is nothing to tell.
    fn note_age(&self, claims: &Claims, now: i64, notes: &mut Notes) {
        let renewal = claims.kubernetes.as_ref().and_then(|bound| bound.warnafter);
        let Some(renewal) = renewal.filter(|time| *time != 0) else {
            return;
        };
        if now > renewal {
            let (subject, late) = (&claims.sub, now - renewal);
            let text = format!("subject: {subject}, seconds after warning threshold: {late}");
            notes.annotate(STALE_TOKEN, text);
        }
        self.metrics.bound(now > renewal);
    }

    async fn bound(&self, claims: &Claims, lookup: &dyn Lookup) -> Result<User, Rejected> {
        let Some(bound) = &claims.kubernetes else {
            return Err(Rejected("the token names no service account".to_owned()));
        };
        let account = &bound.serviceaccount;
        let user = service_account_user(&bound.namespace, &account.name, &account.uid);
        if bound.namespace.is_empty() || account.name.is_empty() || claims.sub != user.name {
            return Err(Rejected(
                "the token's subject and service account differ".to_owned(),
            ));
        }
        bound::account(lookup, &bound.namespace, account).await?;
        if let Some(secret) = &bound.secret {
            bound::object(lookup, "secret", &bound.namespace, secret).await?;
        }
        if let Some(pod) = &bound.pod {
            bound::object(lookup, "pod", &bound.namespace, pod).await?;
        }
        // A node named beside a pod is information; alone it is what the token is bound to.
        if let (Some(node), None) = (&bound.node, &bound.pod) {
            bound::object(lookup, "node", "", node).await?;
        }
        Ok(with_extra(user, claims, bound))
    }
}

fn check_time(claims: &Claims, now: i64) -> Result<(), Rejected> {
    if claims.exp.is_some_and(|exp| now > exp + LEEWAY) {
        return Err(Rejected("service account token has expired".to_owned()));
    }
    if claims.nbf.is_some_and(|nbf| now + LEEWAY < nbf) {
        return Err(Rejected("service account token is not valid yet".to_owned()));
    }
    Ok(())
}

fn with_extra(mut user: User, claims: &Claims, bound: &KubernetesClaims) -> User {
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(
                format!("authentication.kubernetes.io/{key}"),
                vec![value.to_owned()],
            );
        }
    };
    if let Some(pod) = &bound.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    if !claims.jti.is_empty() {
        user.extra
            .insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)]);
    }
    user
}

//! The secrets that are bootstrap tokens, and what one says.

use client::Informer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use kube::Api;
use kube::runtime::watcher;

use crate::owner::Meta as _;
use crate::runtime::Context;

/// Secrets of this type in kube-system are bootstrap tokens.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
pub const NAMESPACE: &str = "kube-system";
const PREFIX: &str = "bootstrap-token-";

/// A well-formed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub secret: String,
}

/// Only those: other secrets are none of our business.
pub fn informer(context: &Context) -> Informer<Secret> {
    Informer::start(
        Api::namespaced(context.root.client.clone(), NAMESPACE),
        watcher::Config::default().fields(&format!("type={TYPE}")),
        context.shutdown.clone(),
    )
}

fn field(secret: &Secret, name: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(name)?;
    String::from_utf8(bytes.0.clone()).ok()
}

pub fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(TYPE) && secret.namespace() == NAMESPACE
}

/// Time left in seconds, not above zero when it is over; None for a token without an end. An end that cannot be read
/// has passed.
pub fn seconds_left(secret: &Secret, now: Timestamp) -> Option<i64> {
    let text = field(secret, "expiration").filter(|text| !text.is_empty())?;
    let end: Option<Timestamp> = text.parse().ok();
    Some(end.map_or(0, |end| end.duration_since(now).as_secs_f64().ceil() as i64))
}

/// The token, if it may be used to sign the cluster's information now.
pub fn signing(secret: &Secret, now: Timestamp) -> Option<Token> {
    let id = field(secret, "token-id")?;
    let own = field(secret, "token-secret").filter(|own| !own.is_empty())?;
    let well_formed = is_token(secret) && !id.is_empty() && secret.name() == format!("{PREFIX}{id}");
    let over = seconds_left(secret, now).is_some_and(|left| left <= 0);
    let allowed = field(secret, "usage-bootstrap-signing").as_deref() == Some("true");
    (well_formed && !over && allowed).then_some(Token { id, secret: own })
}

#[cfg(test)]
pub(super) fn secret(name: &str, fields: &[(&str, &str)]) -> Secret {
    let data = fields.iter().map(|(key, value)| {
        (
            (*key).to_owned(),
            k8s_openapi::ByteString(value.as_bytes().to_vec()),
        )
    });
    let mut secret = Secret {
        type_: Some(TYPE.to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.namespace = Some(NAMESPACE.to_owned());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_and_current_tokens_sign() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let name = "bootstrap-token-abcdef";
        let whole = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
        ];
        let with = |extra: (&'static str, &'static str)| [&whole[..], &[extra]].concat();
        for (what, name, fields, want) in [
            ("whole", name, whole.to_vec(), true),
            ("of another name", "bootstrap-token-other", whole.to_vec(), false),
            ("without secret", name, vec![whole[0], whole[2]], false),
            ("not for signing", name, vec![whole[0], whole[1]], false),
            (
                "to come to an end",
                name,
                with(("expiration", "2026-01-01T00:00:01Z")),
                true,
            ),
            ("over", name, with(("expiration", "2025-12-31T23:59:59Z")), false),
            ("with a broken end", name, with(("expiration", "soon")), false),
        ] {
            assert_eq!(signing(&secret(name, &fields), now).is_some(), want, "{what}");
        }
    }

    #[test]
    fn the_time_left_is_in_seconds() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-01-01T00:01:00Z", Some(60)),
            ("2025-12-31T23:59:00Z", Some(-60)),
            ("", None),
            ("x", Some(0)),
        ] {
            assert_eq!(
                seconds_left(&secret("a", &[("expiration", text)]), now),
                want,
                "{text}"
            );
        }
    }
}

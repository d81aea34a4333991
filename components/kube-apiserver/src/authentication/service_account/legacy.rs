//! Tokens that are kept in secrets, without an end: good as long as their secret is there and does not say otherwise.

use super::{check_object, fetch};
use crate::authentication::Rejected;
use crate::authentication::lookup::Lookup;
use crate::identity::{User, service_account_user};
use crate::metrics::tokens::TokenMetrics;
use crate::tokens::claims::{Claims, Reference};
use serde_json::Value;

/// When a token was last used, as a label of the secret.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// Since when such a token is no longer accepted.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// The account that the token speaks for; its signature and time are checked. Notes in the secret that it was used today.
pub async fn user_of(
    token: &str,
    claims: &Claims,
    lookup: &dyn Lookup,
    metrics: &TokenMetrics,
) -> Result<User, Rejected> {
    let (namespace, name) = (&claims.legacy_namespace, &claims.legacy_name);
    let user = service_account_user(namespace, name, &claims.legacy_uid);
    if namespace.is_empty() || name.is_empty() || claims.legacy_secret.is_empty() || claims.sub != user.name {
        return Err(Rejected("the legacy token's claims are incomplete".to_owned()));
    }
    let secret = fetch(lookup, "secrets", namespace, &claims.legacy_secret)
        .await?
        .unwrap_or_default();
    let stored = secret["data"]["token"]
        .as_str()
        .and_then(decode)
        .unwrap_or_default();
    #[allow(deprecated)]
    let same = ring::constant_time::verify_slices_are_equal(&stored, token.as_bytes()).is_ok();
    if !same || apimachinery::meta::deletion_timestamp(&secret).is_some() {
        return Err(Rejected("service account token has been invalidated".to_owned()));
    }
    let account = check_object(
        lookup,
        "serviceaccounts",
        namespace,
        &Reference {
            name: name.clone(),
            uid: claims.legacy_uid.clone(),
        },
    )
    .await?;
    let labels = &secret["metadata"]["labels"];
    if labels[INVALID_SINCE]
        .as_str()
        .is_some_and(|since| !since.is_empty())
    {
        metrics.legacy_invalid();
        return Err(Rejected(format!(
            "the token in secret {namespace}/{} for service account {namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token",
            claims.legacy_secret
        )));
    }
    let now = jiff::Timestamp::now();
    if let Some(today) = unnoted_day(labels[LAST_USED].as_str(), now) {
        let uid = apimachinery::meta::uid(&secret);
        let label = (LAST_USED, today.as_str());
        // Without the note the token is as good as with it.
        if let Err(error) = lookup
            .label("secrets", namespace, &claims.legacy_secret, uid, label)
            .await
        {
            tracing::warn!(namespace, secret = claims.legacy_secret, %error, "the use of a token was not noted");
        }
    }
    metrics.legacy(is_listed(&account, &claims.legacy_secret));
    Ok(user)
}

/// Whether the account has the secret among its own, as those have that were made without being asked for, before v1.24.
fn is_listed(account: &Value, secret: &str) -> bool {
    let secrets = account["secrets"].as_array().into_iter().flatten();
    secrets.into_iter().any(|reference| reference["name"] == secret)
}

/// The day to note as that of a token's last use, if it is not noted. Tomorrow is what a server with another clock says.
fn unnoted_day(noted: Option<&str>, now: jiff::Timestamp) -> Option<String> {
    let day = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
    let tomorrow = now
        .checked_add(jiff::SignedDuration::from_hours(24))
        .map(day)
        .unwrap_or_default();
    let today = day(now);
    (noted != Some(today.as_str()) && noted != Some(tomorrow.as_str())).then_some(today)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::lookup::LookupError;
    use parking_lot::Mutex;
    use serde_json::json;

    #[test]
    fn secrets_of_before_are_listed_by_their_account() {
        let account = json!({ "secrets": [{ "name": "a-token-x2b4c" }] });
        assert!(is_listed(&account, "a-token-x2b4c"));
        assert!(!is_listed(&account, "by-hand"));
        assert!(!is_listed(&json!({}), "by-hand"));
    }

    #[test]
    fn a_days_use_is_noted_once() {
        let now = "2026-02-28T23:59:00Z".parse().unwrap();
        for (noted, want) in [
            (None, Some("2026-02-28")),
            (Some("2026-02-27"), Some("2026-02-28")),
            (Some("nonsense"), Some("2026-02-28")),
            (Some("2026-02-28"), None),
            (Some("2026-03-01"), None),
        ] {
            assert_eq!(unnoted_day(noted, now).as_deref(), want, "{noted:?}");
        }
    }

    /// The objects of one namespace, and what was labelled.
    struct Objects {
        secret: Option<Value>,
        account: Option<Value>,
        labelled: Mutex<Vec<String>>,
    }

    #[async_trait::async_trait]
    impl Lookup for Objects {
        async fn get(&self, resource: &str, _: &str, _: &str) -> Result<Option<Value>, LookupError> {
            Ok(match resource {
                "secrets" => self.secret.clone(),
                _ => self.account.clone(),
            })
        }

        async fn label(
            &self,
            resource: &str,
            namespace: &str,
            name: &str,
            uid: &str,
            (label, _): (&str, &str),
        ) -> Result<(), LookupError> {
            let line = format!("{resource}/{namespace}/{name} {uid} {label}");
            self.labelled.lock().push(line);
            Ok(())
        }
    }

    const TOKEN: &str = "head.claims.signature";

    async fn asked(change: impl FnOnce(&mut Value, &mut Value)) -> (Result<String, String>, Vec<String>) {
        use base64::Engine;
        let data = base64::engine::general_purpose::STANDARD.encode(TOKEN);
        let mut secret =
            json!({"metadata": {"name": "s", "uid": "su", "labels": {}}, "data": {"token": data}});
        let mut account = json!({"metadata": {"name": "a", "uid": "au"}});
        change(&mut secret, &mut account);
        let there = |object: Value| Some(object).filter(|object| !object.is_null());
        let objects = Objects {
            secret: there(secret),
            account: there(account),
            labelled: Mutex::default(),
        };
        let claims = Claims {
            sub: "system:serviceaccount:n:a".to_owned(),
            legacy_namespace: "n".to_owned(),
            legacy_name: "a".to_owned(),
            legacy_uid: "au".to_owned(),
            legacy_secret: "s".to_owned(),
            ..Claims::default()
        };
        let user = user_of(TOKEN, &claims, &objects, &TokenMetrics::default()).await;
        (
            user.map(|user| user.name).map_err(|error| error.0),
            objects.labelled.into_inner(),
        )
    }

    #[tokio::test]
    async fn a_token_is_good_while_its_secret_holds_it_and_its_account_is_there() {
        let (user, labelled) = asked(|_, _| {}).await;
        assert_eq!(user.as_deref(), Ok("system:serviceaccount:n:a"));
        assert_eq!(labelled, [format!("secrets/n/s su {LAST_USED}")]);
        let gone = "service account token has been invalidated";
        let cases: [(fn(&mut Value, &mut Value), &str); 5] = [
            (|secret, _| *secret = Value::Null, gone),
            (|secret, _| secret["data"]["token"] = json!("b3RoZXI="), gone),
            (
                |secret, _| secret["metadata"]["deletionTimestamp"] = json!("2999-01-01T00:00:00Z"),
                gone,
            ),
            (|_, account| *account = Value::Null, gone),
            (|_, account| account["metadata"]["uid"] = json!("another"), gone),
        ];
        for (change, expected) in cases {
            let (user, labelled) = asked(change).await;
            assert_eq!((user.unwrap_err().as_str(), labelled.len()), (expected, 0));
        }
    }

    /// The cleaner labels what was not used for a year; who still uses it has to be told what to do.
    #[tokio::test]
    async fn a_token_that_is_marked_invalid_is_refused_with_the_remedy() {
        let (user, labelled) =
            asked(|secret, _| secret["metadata"]["labels"][INVALID_SINCE] = json!("2026-01-01")).await;
        let error = user.unwrap_err();
        assert!(
            error.contains("the token in secret n/s for service account n/a has been marked invalid")
                && error.contains("remove the 'kubernetes.io/legacy-token-invalid-since' label"),
            "{error}"
        );
        assert_eq!(labelled, Vec::<String>::new());
        let (user, _) = asked(|secret, _| secret["metadata"]["labels"][INVALID_SINCE] = json!("")).await;
        assert!(user.is_ok(), "an empty label says nothing");
    }
}

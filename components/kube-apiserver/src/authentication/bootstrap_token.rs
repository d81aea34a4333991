//! Bootstrap tokens: `id.secret`, stored as secrets of kube-system.

use super::Rejected;
use super::lookup::Lookup;
use crate::identity::User;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;

const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const DEFAULT_GROUP: &str = "system:bootstrappers";

/// The user of a bootstrap token; `None` if it isn't one that is good now.
pub async fn authenticate(token: &str, lookup: &dyn Lookup) -> Result<Option<User>, Rejected> {
    let Some((id, secret)) = split(token) else {
        return Ok(None);
    };
    let stored = lookup
        .get("secrets", "kube-system", &format!("bootstrap-token-{id}"))
        .await
        .map_err(|error| Rejected(error.to_string()))?;
    let now = jiff::Timestamp::now();
    Ok(stored.and_then(|object| user_of(&object, id, secret, now)))
}

fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

fn user_of(object: &Value, id: &str, secret: &str, now: jiff::Timestamp) -> Option<User> {
    let field = |name: &str| -> Option<String> {
        let bytes = STANDARD.decode(object["data"][name].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    if object["type"] != SECRET_TYPE || object["metadata"].get("deletionTimestamp").is_some() {
        return None;
    }
    let stored = field("token-secret")?;
    #[allow(deprecated)]
    let equal = ring::constant_time::verify_slices_are_equal(stored.as_bytes(), secret.as_bytes()).is_ok();
    if !equal
        || field("token-id")? != id
        || field("usage-bootstrap-authentication").as_deref() != Some("true")
    {
        return None;
    }
    if let Some(expiration) = field("expiration") {
        // An unreadable time counts as expired, as upstream does.
        let until: jiff::Timestamp = expiration.parse().ok()?;
        if until <= now {
            return None;
        }
    }
    let more = field("auth-extra-groups").unwrap_or_default();
    let mut groups: BTreeSet<&str> = match more.as_str() {
        "" => BTreeSet::new(),
        more => more.split(',').collect(),
    };
    if !groups.iter().all(|group| is_group(group)) {
        return None;
    }
    groups.insert(DEFAULT_GROUP);
    Some(User {
        name: format!("system:bootstrap:{id}"),
        groups: groups.into_iter().map(str::to_owned).collect(),
        ..User::default()
    })
}

/// `system:bootstrappers:` and a name of lower case letters, digits, colons and hyphens that ends in one of the former.
fn is_group(text: &str) -> bool {
    let Some(name) = text.strip_prefix("system:bootstrappers:") else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = name.bytes().last().is_some_and(plain);
    ends && name.len() <= 256 && name.bytes().all(|byte| plain(byte) || b":-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(fields: &[(&str, &str)]) -> Value {
        let mut data = serde_json::Map::new();
        for (name, value) in [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ]
        .iter()
        .chain(fields)
        {
            data.insert((*name).to_owned(), json!(STANDARD.encode(value)));
        }
        json!({"type": SECRET_TYPE, "metadata": {}, "data": data})
    }

    #[test]
    fn only_good_tokens_authenticate() {
        let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        type Case = (&'static [(&'static str, &'static str)], &'static str, bool);
        let table: [Case; 11] = [
            (&[], "0123456789abcdef", true),
            (&[], "0123456789abcdeg", false),
            (
                &[("usage-bootstrap-authentication", "false")],
                "0123456789abcdef",
                false,
            ),
            (
                &[("expiration", "2025-01-01T00:00:00Z")],
                "0123456789abcdef",
                false,
            ),
            (
                &[("expiration", "2027-01-01T00:00:00Z")],
                "0123456789abcdef",
                true,
            ),
            (&[("expiration", "soon")], "0123456789abcdef", false),
            (
                &[(
                    "auth-extra-groups",
                    "system:bootstrappers:a-b,system:bootstrappers:c:1",
                )],
                "0123456789abcdef",
                true,
            ),
            (
                &[("auth-extra-groups", "system:bootstrappers:A")],
                "0123456789abcdef",
                false,
            ),
            (
                &[("auth-extra-groups", "system:bootstrappers:a,")],
                "0123456789abcdef",
                false,
            ),
            (&[("auth-extra-groups", "")], "0123456789abcdef", true),
            (
                &[("auth-extra-groups", "system:masters")],
                "0123456789abcdef",
                false,
            ),
        ];
        for (fields, given, expected) in table {
            assert_eq!(
                user_of(&secret(fields), "abcdef", given, now).is_some(),
                expected,
                "{fields:?} {given}"
            );
        }
        let of_two = secret(&[(
            "auth-extra-groups",
            "system:bootstrappers:b,system:bootstrappers:a",
        )]);
        let user = user_of(&of_two, "abcdef", "0123456789abcdef", now).unwrap();
        let sorted = [
            "system:bootstrappers",
            "system:bootstrappers:a",
            "system:bootstrappers:b",
        ];
        assert_eq!(user.groups, sorted);
        assert_eq!(
            split("abcdef.0123456789abcdef"),
            Some(("abcdef", "0123456789abcdef"))
        );
        assert_eq!(split("abcde.0123456789abcdef"), None);
    }
}

//! Acting as somebody else, with the permission to do so.

mod mode;

use super::front_proxy::extra_headers;
use crate::authorization::Authorizer;
use crate::authorization::attributes::Attributes;
use crate::header;
use crate::identity::User;
use crate::metrics::impersonation::ImpersonationMetrics;
use apimachinery::ApiError;
use apimachinery::field::quote;
use http::HeaderMap;
use mode::Mode;
use std::time::Instant;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The user that the headers ask for, if they ask for one.
pub fn requested(headers: &HeaderMap) -> Result<Option<User>, ApiError> {
    let one = |name: &str| {
        let value = headers.get(name).map(header::text);
        value.unwrap_or_default().into_owned()
    };
    let groups: Vec<String> = headers
        .get_all(GROUP)
        .iter()
        .map(|value| header::text(value).into_owned())
        .collect();
    let extra = extra_headers(headers, &[EXTRA.to_owned()]);
    let user = User {
        name: one(USER),
        uid: one(UID),
        groups,
        extra,
    };
    if !user.name.is_empty() {
        return Ok(Some(user));
    }
    if user.groups.is_empty() && user.extra.is_empty() && user.uid.is_empty() {
        return Ok(None);
    }
    Err(ApiError::bad_request(format!(
        "requested {} without impersonating a user name",
        as_go_prints(&user)
    )))
}

/// `%#v` of upstream's type.
fn as_go_prints(user: &User) -> String {
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
        format!("[]string{{{}}}", texts.join(", "))
    };
    let groups = match user.groups.as_slice() {
        [] => "[]string(nil)".to_owned(),
        groups => list(groups),
    };
    let entries = user.extra.iter();
    let entries: Vec<String> = entries
        .map(|(key, values)| format!("{}:{}", quote(key), list(values)))
        .collect();
    let extra = match entries.as_slice() {
        [] => "map[string][]string(nil)".to_owned(),
        entries => format!("map[string][]string{{{}}}", entries.join(", ")),
    };
    format!(
        "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{groups}, Extra:{extra}}}",
        quote(&user.name),
        quote(&user.uid)
    )
}

/// Somebody who is acted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    pub user: User,
    /// The verb that allowed it, when it is allowed for certain requests only.
    pub constraint: Option<&'static str>,
}

/// Checks that the user of `request` may make it as `target`, and gives the user to go on with. What is allowed for
/// this request only (unless `constrained` is off) goes before what is allowed for all; if neither is, the first refusal is told.
pub async fn impersonate(
    authorizer: &Authorizer,
    metrics: &ImpersonationMetrics,
    request: &Attributes<'_>,
    target: &User,
    constrained: bool,
) -> Result<Impersonated, ApiError> {
    let begun = Instant::now();
    let mut refusal = None;
    for mode in Mode::ALL {
        if !constrained && mode != Mode::Legacy {
            continue;
        }
        if !mode.covers(&request.user, target) {
            continue;
        }
        match mode.check(authorizer, metrics, request, target).await {
            Ok(user) => {
                metrics.attempted(Some(mode.name()), begun.elapsed());
                return Ok(Impersonated {
                    user,
                    constraint: mode.constraint(),
                });
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    metrics.attempted(None, begun.elapsed());
    Err(refusal.unwrap_or_else(|| ApiError::internal("all impersonation modes failed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn asked(headers: &[(&'static str, &[u8])]) -> Result<Option<User>, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        requested(&map)
    }

    /// A name that isn't ASCII was taken for none: the request was then made in the name of who sent it.
    #[test]
    fn a_name_of_any_bytes_is_asked_for() {
        for (name, expected) in [
            (&b"jane"[..], "jane"),
            ("j\u{f6}rg".as_bytes(), "j\u{f6}rg"),
            (b"j\xf6rg", "j\u{fffd}rg"),
        ] {
            let user = asked(&[
                (USER, name),
                (GROUP, name),
                (UID, name),
                ("impersonate-extra-a", name),
            ])
            .unwrap()
            .unwrap();
            assert_eq!((&*user.name, &*user.uid), (expected, expected));
            assert_eq!(user.groups, [expected]);
            assert_eq!(user.extra["a"], [expected]);
        }
        assert_eq!(asked(&[]).unwrap(), None);
    }

    #[test]
    fn what_is_asked_for_without_a_name_is_told() {
        for (headers, printed) in [
            (
                &[(GROUP, &b"a\"b"[..]), (GROUP, b"c")][..],
                r#"Name:"", UID:"", Groups:[]string{"a\"b", "c"}, Extra:map[string][]string(nil)"#,
            ),
            (
                &[
                    (UID, &b"1"[..]),
                    ("impersonate-extra-b", b"x"),
                    ("impersonate-extra-a", b"y"),
                ],
                r#"Name:"", UID:"1", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"y"}, "b":[]string{"x"}}"#,
            ),
        ] {
            let error = asked(headers).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("requested &user.DefaultInfo{{{printed}}} without impersonating a user name")
            );
        }
    }
}

//! Acting as somebody else, with the permission to do so.

mod mode;

use super::front_proxy::extra_headers;
use crate::authorization::Authorizer;
use crate::authorization::attributes::Attributes;
use crate::identity::User;
use crate::metrics::impersonation::ImpersonationMetrics;
use apimachinery::ApiError;
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
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    let groups: Vec<String> = headers
        .get_all(GROUP)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
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
    Err(ApiError::bad_request(
        "requested groups, uid or extra data without impersonating a user name",
    ))
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

//! Acting as somebody else, with the permission to do so.

use super::front_proxy::extra_headers;
use crate::authorization::Authorizer;
use crate::authorization::attributes::Attributes;
use crate::identity::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, User, service_account, service_account_groups,
};
use apimachinery::{ApiError, GroupResource};
use http::HeaderMap;
use std::borrow::Cow;

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
    Err(ApiError::internal(
        "requested groups, uid or extra data without impersonating a user",
    ))
}

/// Checks that `by` may act as `target`, and gives the user to go on with.
pub async fn impersonate(authorizer: &Authorizer, by: &User, mut target: User) -> Result<User, ApiError> {
    let account =
        service_account(&target.name).map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    match &account {
        Some((namespace, name)) => {
            check(
                authorizer,
                Attributes::resource(by, "impersonate", "", "serviceaccounts")
                    .in_namespace(namespace)
                    .named(name),
            )
            .await?;
        }
        None => {
            check(
                authorizer,
                Attributes::resource(by, "impersonate", "", "users").named(&target.name),
            )
            .await?
        }
    }
    for group in &target.groups {
        check(
            authorizer,
            Attributes::resource(by, "impersonate", "", "groups").named(group),
        )
        .await?;
    }
    const AUTHENTICATION: &str = "authentication.k8s.io";
    for (key, values) in &target.extra {
        for value in values {
            check(
                authorizer,
                Attributes::resource(by, "impersonate", AUTHENTICATION, "userextras")
                    .of_subresource(key)
                    .named(value),
            )
            .await?;
        }
    }
    if !target.uid.is_empty() {
        check(
            authorizer,
            Attributes::resource(by, "impersonate", AUTHENTICATION, "uids").named(&target.uid),
        )
        .await?;
    }
    if let Some((namespace, _)) = account
        && target.groups.is_empty()
    {
        target.groups = service_account_groups(&namespace);
    }
    let marked = target.in_group(ALL_AUTHENTICATED) || target.in_group(ALL_UNAUTHENTICATED);
    if !marked {
        let group = if target.name == ANONYMOUS {
            ALL_UNAUTHENTICATED
        } else {
            ALL_AUTHENTICATED
        };
        target.groups.push(group.to_owned());
    }
    Ok(target)
}

async fn check(authorizer: &Authorizer, mut question: Attributes<'_>) -> Result<(), ApiError> {
    question.version = Cow::Borrowed(if question.group.is_empty() { "" } else { "v1" });
    let decision = authorizer.decide(&question).await;
    if decision.allowed() {
        return Ok(());
    }
    let resource = GroupResource::new(&*question.group, &*question.combined_resource());
    Err(ApiError::forbidden(
        &resource,
        &question.name,
        &question.forbidden_message(decision.reason()),
    ))
}

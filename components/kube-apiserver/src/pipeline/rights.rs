//! Who a request is from, and whether that one may make it.

use super::Asked;
use crate::answer;
use crate::audit;
use crate::authentication::impersonation;
use crate::authorization::attributes::Attributes;
use crate::identity::User;
use crate::metrics::access::Step;
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::{ApiError, GroupResource};
use http::StatusCode;
use std::sync::Arc;
use std::time::Instant;

/// Whom the request is from: who sent it, or whom that one may act as.
pub(super) async fn acting_user(
    server: &Server,
    asked: &Asked,
    user: Arc<User>,
    record: &mut audit::Record,
) -> Result<Arc<User>, ApiError> {
    let Some(target) = impersonation::requested(&asked.arrived.parts.headers)? else {
        return Ok(user);
    };
    let begun = Instant::now();
    let request = Attributes::of_request(&user, &asked.info, &asked.query);
    let is_constrained = server.has_feature("ConstrainedImpersonation");
    let outcome = impersonation::impersonate(
        &server.authorizer,
        &server.metrics.impersonation,
        &request,
        &target,
        is_constrained,
    )
    .await;
    let step = match is_constrained {
        true => Step::ConstrainedImpersonation,
        false => Step::Impersonation,
    };
    server.metrics.access.step(step, begun.elapsed());
    let outcome = outcome?;
    let target = Arc::new(outcome.user);
    record.impersonated = Some(Arc::clone(&target));
    record.impersonation_constraint = outcome.constraint;
    Ok(target)
}

/// Whether the request may go on.
pub(super) async fn authorize(
    server: &Server,
    user: &User,
    info: &RequestInfo,
    query: &Query,
    record: &mut audit::Record,
) -> Result<(), Refusal> {
    let question = Attributes::of_request(user, info, query);
    let begun = Instant::now();
    let verdict = server.authorizer.decide(&question).await;
    let metrics = &server.metrics.access;
    metrics.decided(&verdict, begun.elapsed());
    if let (Some(error), false) = (&verdict.error, verdict.allowed()) {
        record.undecided();
        return Err(Refusal::Undecided(error.clone()));
    }
    record.decided(verdict.allowed(), verdict.reason());
    if verdict.allowed() {
        return Ok(());
    }
    let resource = GroupResource::new(&*info.group, &*info.resource);
    Err(Refusal::Forbidden(ApiError::forbidden(
        &resource,
        &info.name,
        &question.forbidden_message(verdict.reason()),
    )))
}

/// Why a request may not go on.
pub(super) enum Refusal {
    Forbidden(ApiError),
    /// An authorizer failed, and no other one allowed it.
    Undecided(String),
}

/// Upstream's answer without a Status: plain text that a browser shows as such.
pub(super) fn internal_error_text(uri: &http::Uri, why: &str) -> Response {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let text = format!("Internal Server Error: {path:?}: {why}\n");
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}

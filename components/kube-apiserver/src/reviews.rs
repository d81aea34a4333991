//! Kinds that are questions: asked with create, answered at once, never stored.

pub mod access;
pub mod rules;
pub mod token;

use crate::admission::{self, Attributes, Operation};
use crate::media;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::body;
use crate::verbs::options;
use crate::verbs::target::Target;
use apimachinery::decode::Unchanged;
use apimachinery::{ApiError, meta};
use http::StatusCode;
use serde_json::json;

/// Answers a review.
pub async fn handle(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let options = options::write(request, "CreateOptions", false)?;
    let mut review = body::object(&target.row, &target.row.gvk, request, &options)?;
    crate::metadata::wipe_system_fields(&mut review);
    crate::metadata::ensure_namespace(&target.row, &target.namespace, &mut review)?;
    if target.row.gvk.kind != "SelfSubjectReview" {
        crate::verbs::write::track(
            server,
            &target.row,
            None,
            &mut review,
            &Unchanged::default(),
            request,
            &options,
            "",
        )
        .await;
    }
    let attributes = Attributes::of_write(request, target, Operation::Create, &options);
    admission::mutate(server, &attributes, &mut review, None).await?;
    let kind = target.row.gvk.kind.as_str();
    match kind {
        "TokenReview" => token::check(&review)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access::check_subject(target, &review)?,
        "SelfSubjectAccessReview" => access::check_own(&review)?,
        "SelfSubjectRulesReview" => rules::check(&review)?,
        _ => {}
    }
    admission::validate(server, &attributes, Some(&review), None).await?;
    api::strategy::settle(&target.row, &mut review, &Unchanged::default());
    let status = match kind {
        "SelfSubjectReview" => token::who_am_i(request),
        "TokenReview" => token::review(server, request, &review).await?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access::subject(server, &review).await,
        "SelfSubjectAccessReview" => access::own(server, request, &review).await,
        "SelfSubjectRulesReview" => rules::own(server, request, &review),
        _ => return Err(ApiError::method_not_allowed()),
    };
    if target.row.gvk.kind == "SelfSubjectRulesReview" {
        // The answer doesn't repeat the question.
        review["spec"] = json!({});
        review["metadata"] = json!({});
    }
    review["status"] = status;
    if target.row.gvk.kind == "SelfSubjectReview" {
        meta::set(
            &mut review,
            "creationTimestamp",
            apimachinery::time::format_time(jiff::Timestamp::now()),
        );
    }
    let review = review.into_whole();
    present::value(request, &target.row.gvk, &accepted, StatusCode::CREATED, &review)
}

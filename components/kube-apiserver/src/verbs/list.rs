//! list: a header, stored objects, and commas.

use super::options::refuse;
use super::target::Target;
use crate::answer;
use crate::definitions::conversion;
use crate::media::{self, Accepted, Answer, Encoding, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::selectors;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use apimachinery::field::{Error, Path};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{ListPage, ListRequest, RequestedRevision, RevisionMatch};

/// Reads the parameters that list and deletecollection share.
pub fn parameters(request: &ApiRequest, target: &Target) -> Result<ListRequest, ApiError> {
    let query = &request.query;
    let limit: i64 = match query.get("limit").filter(|text| !text.is_empty()) {
        None => 0,
        Some(text) => text.parse().map_err(|_| {
            ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        })?,
    };
    check_timeout(request)?;
    let revision_text = query.get("resourceVersion").unwrap_or("");
    let match_text = query.get("resourceVersionMatch").unwrap_or("");
    let continue_token = query
        .get("continue")
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let mut errors = Vec::new();
    let path = Path::new("resourceVersionMatch");
    if !match_text.is_empty() {
        if revision_text.is_empty() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if continue_token.is_some() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !matches!(match_text, "Exact" | "NotOlderThan") {
            errors.push(Error::not_supported(
                &path,
                match_text,
                &["Exact", "NotOlderThan", ""],
            ));
        }
        if match_text == "Exact" && revision_text == "0" {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if query
        .get("sendInitialEvents")
        .is_some_and(|text| !text.is_empty())
    {
        errors.push(Error::forbidden(
            &Path::new("sendInitialEvents"),
            "sendInitialEvents is forbidden for list",
        ));
    }
    refuse("ListOptions", &errors)?;
    if continue_token.is_some() && !matches!(revision_text, "" | "0") {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    Ok(ListRequest {
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.clone()),
        revision: RequestedRevision::parse(revision_text).map_err(|error| target.error(error))?,
        revision_match: match match_text {
            "Exact" => Some(RevisionMatch::Exact),
            "NotOlderThan" => Some(RevisionMatch::NotOlderThan),
            _ => None,
        },
        limit: usize::try_from(limit).unwrap_or(0),
        continue_token,
        filter: selectors::filter(
            &target.row,
            query.get("labelSelector").unwrap_or(""),
            query.get("fieldSelector").unwrap_or(""),
        )?,
    })
}

/// Checks `timeoutSeconds`, which lists take and ignore.
pub fn check_timeout(request: &ApiRequest) -> Result<Option<i64>, ApiError> {
    match request
        .query
        .get("timeoutSeconds")
        .filter(|text| !text.is_empty())
    {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(error) => {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let beyond = matches!(error.kind(), NegOverflow | PosOverflow);
                let why = if beyond {
                    "value out of range"
                } else {
                    "invalid syntax"
                };
                Err(ApiError::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: {why}"
                )))
            }
        },
    }
}

/// Objects that are rendered at most on the thread of the connection, whose others wait meanwhile.
const FEW: usize = 50;

pub async fn list(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::List)?;
    let mut wanted = parameters(request, target)?;
    // What a webhook has to convert can be told apart only then; a page may come out shorter than it could be.
    let late = wanted.filter.take_if(|_| conversion::by_webhook(&target.row));
    let mut page = target
        .store
        .list(wanted)
        .await
        .map_err(|error| target.error(error))?;
    conversion::ensure(server, &target.row, &page.items).await?;
    if let Some(filter) = late {
        page.items.retain(|object| filter.matches(object));
        page.remaining = None;
    }
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if target.row.custom.is_some() && accepted.shape == Shape::Object {
        metadata["continue"] = json!("");
    }
    if let Some(token) = &page.continue_token {
        metadata["continue"] = json!(token);
    }
    if let Some(remaining) = page.remaining.filter(|remaining| *remaining > 0) {
        metadata["remainingItemCount"] = json!(remaining);
    }
    if accepted.is_plain_json() {
        let row = &target.row;
        let items: Vec<Bytes> = page
            .items
            .iter()
            .map(|object| present::list_item(row, object))
            .collect::<Result<_, _>>()?;
        let body = present::list_of(row, &metadata, items);
        return Ok(answer::with_body(StatusCode::OK, media::JSON, body));
    }
    let few = page.items.len() <= FEW;
    let render = {
        let (server, request, target) = (Arc::clone(server), Arc::clone(request), target.clone());
        move || rendered(&server, &request, &target, &page, metadata, &accepted)
    };
    if few {
        return render();
    }
    tokio::task::spawn_blocking(render)
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error)))
}

fn rendered(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    page: &ListPage,
    metadata: Value,
    accepted: &Accepted,
) -> Result<Response, ApiError> {
    if accepted.encoding == Encoding::Protobuf {
        let body = present::protobuf::list(&target.row, &page.items, &metadata, &accepted.shape)?;
        return Ok(answer::with_body(StatusCode::OK, media::PROTOBUF, body));
    }
    shaped(server, request, target, page, metadata, accepted)
}

fn shaped(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    page: &ListPage,
    metadata: Value,
    accepted: &Accepted,
) -> Result<Response, ApiError> {
    let row = &target.row;
    let objects: Vec<Value> = page
        .items
        .iter()
        .map(|object| present::value_of(row, object))
        .collect::<Result<_, _>>()?;
    let value = match &accepted.shape {
        Shape::Table(version) => {
            present::table(&server.registry.load(), row, &objects, metadata, version, request)?
        }
        Shape::PartialList(version) | Shape::PartialObject(version) => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": format!("meta.k8s.io/{version}"),
            "metadata": metadata,
            "items": objects.iter().map(|object| present::partial(object, version)).collect::<Vec<_>>(),
        }),
        Shape::Object | Shape::Discovery { .. } => json!({
            "kind": row.list_kind,
            "apiVersion": row.gvk.api_version(),
            "metadata": metadata,
            "items": objects
                .into_iter()
                .map(|object| if row.custom.is_some() { object } else { present::without_type(object) })
                .collect::<Vec<_>>(),
        }),
    };
    Ok(answer::value(StatusCode::OK, &value, accepted))
}

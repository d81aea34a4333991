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
use crate::traces;
use apimachinery::ApiError;
use apimachinery::field::{Error, Path};
use bytes::Bytes;
use http::StatusCode;
use opentelemetry::KeyValue;
use serde_json::{Value, json};
use std::num::ParseIntError;
use std::sync::Arc;
use storage::spans;
use storage::{ListPage, ListRequest, RequestedRevision, RevisionMatch, StorageError};

/// Reads the parameters that list and deletecollection share.
fn parameters(request: &ApiRequest, target: &Target) -> Result<ListRequest, ApiError> {
    let query = &request.query;
    let limit = whole_number(request, "limit")?.unwrap_or(0);
    whole_number(request, TIMEOUT)?;
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
    if let Some(token) = &continue_token
        && !matches!(revision_text, "" | "0")
    {
        // A token that is none is told first.
        storage::continue_key("", token).map_err(|error| target.error(error))?;
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

/// The parameter that says how long a watch lasts; lists check it and take their time all the same.
pub const TIMEOUT: &str = "timeoutSeconds";

/// A parameter that is a number. An empty one isn't.
pub fn whole_number(request: &ApiRequest, name: &str) -> Result<Option<i64>, ApiError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let Some(text) = request.query.get(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error: ParseIntError| {
        let why = match error.kind() {
            NegOverflow | PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

/// The objects that were asked for, ready to be shown.
pub async fn page(server: &Server, request: &ApiRequest, target: &Target) -> Result<ListPage, ApiError> {
    ready(server, target, parameters(request, target)?).await
}

/// The objects that are to be deleted. Upstream reads them page by page: as of the revision that is given, unless it may be later.
pub async fn page_to_delete(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
) -> Result<ListPage, ApiError> {
    let mut wanted = parameters(request, target)?;
    if matches!(wanted.revision, RequestedRevision::At(_)) {
        wanted.revision_match.get_or_insert(RevisionMatch::Exact);
    }
    ready(server, target, wanted).await
}

async fn ready(server: &Server, target: &Target, mut wanted: ListRequest) -> Result<ListPage, ApiError> {
    // What a webhook has to convert can be told apart only then; a page may come out shorter than it could be.
    let late = wanted.filter.take_if(|_| conversion::by_webhook(&target.row));
    let listed = target.store.list(wanted).await;
    let mut page = listed.map_err(|error| match error {
        StorageError::Expired { .. } => {
            ApiError::expired("The resourceVersion for the provided list is too old.")
        }
        error => target.error(error),
    })?;
    conversion::ensure(server, &target.row, &page.items).await?;
    if let Some(filter) = late {
        page.items.retain(|object| filter.matches(object));
        page.remaining = None;
    }
    Ok(page)
}

/// Objects that are rendered at most on the thread of the connection, whose others wait meanwhile.
const FEW: usize = 50;

pub async fn list(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::List)?;
    spans::event("About to List from storage");
    let page = page(server, request, target).await?;
    spans::event("Listing from storage done");
    let count = page.items.len();
    let answer = show(server, request, target, page, accepted).await;
    spans::event_with("Writing http response done", || {
        vec![KeyValue::new("count", count as i64)]
    });
    answer
}

/// The answer that shows a page.
pub async fn show(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
    page: ListPage,
    accepted: Accepted,
) -> Result<Response, ApiError> {
    let span = traces::serializing(request, &target.row.gvk, &accepted);
    let answer = written(server, request, target, page, accepted).await;
    traces::serialized(span, &answer);
    answer
}

async fn written(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
    page: ListPage,
    accepted: Accepted,
) -> Result<Response, ApiError> {
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
    let mut objects: Vec<Value> = page
        .items
        .iter()
        .map(|object| present::value_of(row, object))
        .collect::<Result<_, _>>()?;
    let value = match &accepted.shape {
        Shape::Table(version) => {
            api::table::arrange(row, &mut objects);
            present::table(&server.registry.load(), row, &objects, metadata, version, request)?
        }
        Shape::PartialList(version) | Shape::PartialObject(version) => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": format!("meta.k8s.io/{version}"),
            "metadata": metadata,
            "items": partial_items(&objects, version),
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

/// Upstream appends to a list that it doesn't make: without an item there is none.
fn partial_items(objects: &[Value], version: &str) -> Option<Vec<Value>> {
    let items = objects.iter().map(|object| present::partial(object, version));
    (!objects.is_empty()).then(|| items.collect())
}

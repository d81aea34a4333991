//! get: one object.

use super::target::Target;
use crate::answer;
use crate::media::{self, Encoding, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::StatusCode;
use storage::RequestedRevision;

pub async fn get(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(&request.headers, request.query.get("pretty"), |shape| {
        !matches!(shape, Shape::PartialList(_))
    })?;
    let revision = RequestedRevision::parse(request.query.get("resourceVersion").unwrap_or(""))
        .map_err(|error| target.error(error))?;
    let object = target
        .store
        .get(&target.namespace, &target.name, revision)
        .await
        .map_err(|error| target.error(error))?;
    if accepted.shape == Shape::Object && accepted.encoding == Encoding::Json && !accepted.pretty {
        let bytes = present::json_bytes(&target.row, &object)?;
        return Ok(answer::bytes_of(StatusCode::OK, media::JSON, bytes));
    }
    let value = present::value_of(&target.row, &object)?;
    let shaped = present::shape_one(
        &server.registry.load(),
        &target.row,
        value,
        &accepted.shape,
        request,
    )?;
    Ok(answer::value(StatusCode::OK, &shaped, &accepted))
}

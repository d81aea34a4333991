//! get: one object.

use super::target::Target;
use crate::answer;
use crate::definitions::conversion;
use crate::media::{self, Answer, Encoding, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::StatusCode;
use storage::RequestedRevision;

pub async fn get(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let revision = RequestedRevision::parse(request.query.get("resourceVersion").unwrap_or(""))
        .map_err(|error| target.error(error))?;
    let object = target
        .store
        .get(&target.namespace, &target.name, revision)
        .await
        .map_err(|error| target.error(error))?;
    conversion::ensure(server, &target.row, std::slice::from_ref(&object)).await?;
    if accepted.shape == Shape::Object && accepted.encoding == Encoding::Json && !accepted.pretty {
        let bytes = present::json_bytes(&target.row, &object)?;
        return Ok(answer::bytes_of(StatusCode::OK, media::JSON, bytes));
    }
    if accepted.encoding == Encoding::Protobuf {
        let body = present::protobuf::one(&target.row, &object, &accepted.shape)?;
        return Ok(answer::with_body(StatusCode::OK, media::PROTOBUF, body));
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

//! get: one object.

use super::target::{Target, check_key};
use super::write::Shown;
use crate::definitions::conversion;
use crate::media::{self, Answer};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::StatusCode;
use storage::RequestedRevision;
use storage::spans;

pub async fn get(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    if request.query.is_true("export") {
        return Err(ApiError::bad_request(
            "the export parameter, deprecated since v1.14, is no longer supported",
        ));
    }
    let revision = RequestedRevision::parse(request.query.get("resourceVersion").unwrap_or(""))
        .map_err(|error| target.error(error))?;
    check_key(&target.name)?;
    spans::event("About to Get from storage");
    let object = target
        .store
        .get(&target.namespace, &target.name, revision)
        .await
        .map_err(|error| target.error(error))?;
    let shown = if conversion::by_webhook(&target.row) {
        Shown::Object(conversion::anew(server, &target.row, &object).await?)
    } else {
        Shown::Stored(object)
    };
    present::one(server, request, &target.row, shown, StatusCode::OK, &accepted)
}

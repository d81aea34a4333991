//! update: an object replaced by another.

use super::body;
use super::options;
use super::target::Target;
use super::write::{self, Existing, Write};
use crate::kinds;
use crate::media::{self, Answer};
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::{ApiError, meta};
use http::StatusCode;
use storage::spans;

pub async fn update(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = options::write(request, "UpdateOptions", false)?;
    let mut object = body::object(&target.row, &target.row.gvk, request, &options)?;
    spans::event("About to store object in database");
    kinds::default(&target.row, &mut object);
    request.note_object(&object);
    metadata::ensure_namespace(&target.row, &target.namespace, &mut object)?;
    write::check_name(target, &object)?;
    write::dedup_owners(request, &mut object, false);
    let wanted = Write {
        resource_version: some(meta::resource_version(&object)),
        uid: some(meta::uid(&object)),
        apply: false,
        replaces: true,
        view: None,
    };
    let outcome = write::change(
        server,
        request,
        target,
        &options,
        wanted,
        |existing: &Existing<'_>| {
            let creatable =
                target.subresource.is_empty() && api::strategy::rules(&target.row).create_on_update;
            if existing.old.is_none() && !creatable {
                Err(write::missing(target))
            } else {
                Ok(object.clone().into())
            }
        },
    )
    .await?;
    body::written(request);
    let code = if outcome.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    present::one(server, request, &target.row, outcome.object, code, &accepted)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

//! create: a new object.

use super::body;
use super::options::{self, WriteOptions};
use super::target::Target;
use super::write::{self, Shown};
use crate::kinds;
use crate::media::{self, Answer};
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::decode::Unchanged;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, Reason, meta};
use http::StatusCode;
use storage::spans;

/// Names that are generated for an object before it is refused: with a million others of the same prefix all of them are
/// taken once in a thousand times (upstream's maxNameGenerationCreateAttempts).
const MOST_NAMES: usize = 8;

pub async fn create(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = options::write(request, "CreateOptions", false)?;
    let object = body::object(&target.row, &target.row.gvk, request, &options)?;
    spans::event("About to store object in database");
    let created = create_object(server, request, target, object, &options).await?;
    body::written(request);
    present::one(
        server,
        request,
        &target.row,
        created,
        StatusCode::CREATED,
        &accepted,
    )
}

/// Creates an object that is decoded already; gives it as stored.
pub async fn create_object(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    mut object: Compact,
    options: &WriteOptions,
) -> Result<Shown, ApiError> {
    let row = &target.row;
    kinds::default(row, &mut object);
    request.note_object(&object);
    // Before admission: webhooks don't see what a client has no say in.
    metadata::wipe_system_fields(&mut object);
    metadata::ensure_namespace(row, &target.namespace, &mut object)?;
    write::dedup_owners(request, &mut object, false);
    write::track(
        server,
        row,
        None,
        &mut object,
        &Unchanged::default(),
        request,
        options,
        "",
    )
    .await;
    let is_unnamed = meta::name(&object).is_empty();
    let reserved = write::admit_new(server, request, target, options, &mut object).await?;
    let mut outcome = write::store_new(server, target, &mut object, options.dry_run).await;
    for _ in 1..MOST_NAMES {
        if !is_unnamed || !outcome.as_ref().is_err_and(is_taken) {
            break;
        }
        metadata::generate_name(&mut object);
        outcome = match write::admit_renamed(server, request, target, options, &object).await {
            Ok(()) => write::store_new(server, target, &mut object, options.dry_run).await,
            Err(error) => Err(error),
        };
    }
    match outcome {
        Ok(stored) => {
            reserved.keep(server).await;
            Ok(stored)
        }
        Err(error) => {
            reserved.give_back(server).await;
            Err(error)
        }
    }
}

fn is_taken(error: &ApiError) -> bool {
    error.reason() == Reason::AlreadyExists
}

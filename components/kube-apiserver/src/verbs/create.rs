//! create: a new object.

use super::body;
use super::options::{self, WriteOptions};
use super::target::Target;
use super::write::{self, Shown};
use crate::admission::{self, Operation};
use crate::kinds;
use crate::media::{self, Answer};
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services;
use crate::serving::body::Response;
use api::{Resource, strategy};
use apimachinery::{ApiError, meta};
use http::StatusCode;
use serde_json::Value;

pub async fn create(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = options::write(request, "CreateOptions", false)?;
    let object = body::object(&target.row, &target.row.gvk, request, &options)?;
    let created = create_object(server, request, target, object, &options).await?;
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
    mut object: Value,
    options: &WriteOptions,
) -> Result<Shown, ApiError> {
    let row = &target.row;
    metadata::ensure_namespace(row, &target.namespace, &mut object)?;
    kinds::default(row, &mut object);
    let name = meta::name(&object).to_owned();
    write::track(row, None, &mut object, request, options, "")?;
    let mut attributes = admission::Attributes::of_write(request, target, Operation::Create, options);
    attributes.name = name;
    admission::mutate(server, &attributes, &mut object, None).await?;
    // A webhook may have moved it.
    metadata::ensure_namespace(row, &target.namespace, &mut object)?;
    metadata::prepare_create(&mut object);
    note_requester(request, row, &mut object);
    strategy::prepare_create(row, &mut object);
    api::validate::create(row, &object)?;
    strategy::settle(row, &mut object);
    api::warnings::create(row, &object)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    attributes.name = meta::name(&object).to_owned();
    admission::validate(server, &attributes, Some(&object), None).await?;
    let reserved = services::reserve(server, row, None, &mut object, options.dry_run).await?;
    let name = meta::name(&object).to_owned();
    let outcome = write::store_new(server, target, &name, object, options.dry_run).await;
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

/// A signing request says who made it, whatever the body claims: approvers decide by it.
pub fn note_requester(request: &ApiRequest, row: &Resource, object: &mut Value) {
    if row.gvk.kind != "CertificateSigningRequest" {
        return;
    }
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let user = crate::reviews::token::user_info(&request.user);
    for field in ["username", "uid", "groups", "extra"] {
        match user.get(field) {
            Some(value) => {
                spec.insert(field.to_owned(), value.clone());
            }
            None => {
                spec.remove(field);
            }
        }
    }
}

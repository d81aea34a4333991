//! What a new object goes through before it is stored, by whatever verb it is made.
use super::{dedup_owners, device_claims, expressions, policy_params};
use crate::admission::{self, Attributes, Operation};
use crate::authorization;
use crate::kinds;
use crate::metadata;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services::{self, Reserved, reserve};
use crate::verbs::options::WriteOptions;
use crate::verbs::target::Target;
use api::{Resource, strategy};
use apimachinery::decode::Unchanged;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, meta};
use serde_json::Value;

/// Admits, prepares and checks an object whose managers are recorded.
pub async fn admit_new(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    object: &mut Compact,
) -> Result<Reserved, ApiError> {
    let row = &target.row;
    let mut attributes = Attributes::of_write(request, target, Operation::Create, options);
    attributes.name = meta::name(object).to_owned();
    attributes.generate_name = meta::generate_name(object).to_owned();
    let mutated = admission::mutate(server, &attributes, object, None).await?;
    dedup_owners(request, object, true);
    // A webhook may have moved it.
    metadata::ensure_namespace(row, &target.namespace, object)?;
    metadata::prepare_create(object);
    note_requester(request, row, object);
    api::warnings::sent(row, object)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    strategy::prepare_create(row, object).map_err(ApiError::internal)?;
    services::fit(server, row, None, object)?;
    let wrong = device_claims::wrong_with_new(server, row, object).await;
    expressions::checked(server, row, None, || {
        api::validate::create_with(row, object, wrong)
    })?;
    policy_params::check(server, request, row, None, object).await?;
    strategy::settle(row, object, &Unchanged::default());
    api::warnings::create(row, object)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    may_create(server, request, target).await?;
    attributes.name = meta::name(object).to_owned();
    // Before admission, which is to see what the object gets.
    let reserved = reserve(server, row, None, object, options.dry_run).await?;
    if let Err(error) = admission::validate(server, &attributes, Some(object), None).await {
        reserved.give_back(server).await;
        return Err(error);
    }
    if mutated {
        kinds::settle_admitted(row, object)?;
    }
    Ok(reserved)
}

/// The same of an admitted object that has another name now.
pub async fn admit_renamed(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    object: &Compact,
) -> Result<(), ApiError> {
    let mut attributes = Attributes::of_write(request, target, Operation::Create, options);
    attributes.name = meta::name(object).to_owned();
    attributes.generate_name = meta::generate_name(object).to_owned();
    admission::validate(server, &attributes, Some(object), None).await
}

/// Whoever changes or applies what isn't there must be allowed to create it.
async fn may_create(server: &Server, request: &ApiRequest, target: &Target) -> Result<(), ApiError> {
    const VERB: &str = "create";
    if request.info.verb == VERB {
        return Ok(());
    }
    let question = authorization::attributes::Attributes {
        verb: VERB.into(),
        ..authorization::attributes::Attributes::of_request(&request.user, &request.info, &request.query)
    };
    let verdict = server.authorizer.decide(&question).await;
    if verdict.allowed() {
        return Ok(());
    }
    Err(match verdict.error {
        Some(error) => ApiError::internal(error),
        None => {
            let why = question.forbidden_message(verdict.reason());
            ApiError::forbidden(&target.resource(), &target.name, &why)
        }
    })
}

/// A signing request says who made it, whatever the body claims: approvers decide by it.
fn note_requester(request: &ApiRequest, row: &Resource, object: &mut Value) {
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

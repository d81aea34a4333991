//! Claims for devices: what depends on their namespace, and on who writes their status (pkg/registry/resource/utils.go).
mod changes;

use crate::authorization::attributes::Attributes;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::verbs::target::Target;
use api::Resource;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::Value;
use std::borrow::Cow;

const GROUP: &str = "resource.k8s.io";
const CLAIMS: &str = "resourceclaims";

/// With this gate, who may write the status of claims may not yet write all of it.
const GRANULAR: &str = "DRAResourceClaimGranularStatusAuthorization";

/// A namespace whose label of this name is `true` has access to devices that others use.
const ADMIN_ACCESS: &str = "resource.kubernetes.io/admin-access";

/// What is wrong with a new claim, or a template of claims.
pub(super) async fn wrong_with_new(server: &Server, row: &Resource, object: &Value) -> ErrorList {
    if row.gvk.group != GROUP {
        return ErrorList::new();
    }
    let devices = match row.gvk.kind.as_str() {
        "ResourceClaim" => &object["spec"]["devices"],
        "ResourceClaimTemplate" => &object["spec"]["spec"]["devices"],
        _ => return ErrorList::new(),
    };
    let Some(index) = changes::admin_request(devices) else {
        return ErrorList::new();
    };
    // Upstream tells the path without `exactly`, and in templates as in claims.
    let path = Path::new("spec.devices.requests")
        .index(index)
        .child("adminAccess");
    Box::pin(admin_access(server, meta::namespace(object), &path))
        .await
        .into_iter()
        .collect()
}

/// What is wrong with a changed status of a claim.
pub(super) async fn wrong_with_change(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    old: &Value,
    new: &Value,
) -> ErrorList {
    if target.row.gvk.group != GROUP
        || target.row.gvk.kind != "ResourceClaim"
        || target.subresource != "status"
    {
        return ErrorList::new();
    }
    Box::pin(async {
        let mut errors = ErrorList::new();
        if changes::admin_result(old).is_none()
            && let Some(index) = changes::admin_result(new)
        {
            let path = Path::new("status.allocation.devices.results")
                .index(index)
                .child("adminAccess");
            errors.extend(admin_access(server, meta::namespace(new), &path).await);
        }
        if server.has_feature(GRANULAR) {
            errors.extend(binding(server, request, old, new).await);
            errors.extend(drivers(server, request, old, new).await);
        }
        errors
    })
    .await
}

/// Whether those in a namespace may have devices that others use.
async fn admin_access(server: &Server, namespace: &str, path: &Path) -> Option<Error> {
    let failed = |why: String| {
        Some(Error::internal(
            path,
            format!("could not retrieve namespace to verify admin access: {why}"),
        ))
    };
    match server.stores.newest("", "namespaces", "", namespace).await {
        Err(error) => failed(error.to_string()),
        Ok(None) => {
            let missing = ApiError::not_found(&GroupResource::new("", "namespaces"), namespace);
            failed(missing.message().to_owned())
        }
        Ok(Some(namespace)) if meta::label(&namespace, ADMIN_ACCESS) == Some("true") => None,
        Ok(Some(_)) => Some(Error::forbidden(
            path,
            format!(
                "admin access to devices requires the `{ADMIN_ACCESS}: true` label on the containing namespace"
            ),
        )),
    }
}

/// Who allocates devices and hands them out, as schedulers do, may do so anywhere.
async fn binding(server: &Server, request: &ApiRequest, old: &Value, new: &Value) -> Option<Error> {
    let changed = ["allocation", "reservedFor"]
        .iter()
        .any(|field| !api::same(&old["status"][field], &new["status"][field]));
    if !changed {
        return None;
    }
    let verb = &request.info.verb;
    let question = question(request, verb, "binding", "", "");
    let why = refused(server, &question).await?;
    Some(Error::forbidden(
        &Path::new("status"),
        format!(
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"{verb}\" permission: {why}"
        ),
    ))
}

/// Who tells of a driver's devices may do so for this driver: on every node, or on the node that it runs on.
async fn drivers(server: &Server, request: &ApiRequest, old: &Value, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let drivers = changes::drivers(old, new);
    if drivers.is_empty() {
        return errors;
    }
    let verb = &request.info.verb;
    let mut verbs = vec![format!("arbitrary-node:{verb}")];
    if changes::runs_on(&request.user, changes::node(&new["status"]["allocation"])) {
        verbs.insert(0, format!("associated-node:{verb}"));
    }
    for driver in drivers {
        if let Some(why) = refused_for(server, request, &verbs, driver).await {
            errors.push(Error::forbidden(
                &Path::new("status.devices"),
                format!(
                    "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{}]\" permission: {why}",
                    verbs.join(" ")
                ),
            ));
        }
    }
    errors
}

/// Why none of these verbs is allowed for a driver: what was said of the first.
async fn refused_for(
    server: &Server,
    request: &ApiRequest,
    verbs: &[String],
    driver: &str,
) -> Option<String> {
    let mut first = None;
    for verb in verbs {
        let question = question(request, verb, "driver", &request.info.namespace, driver);
        let why = refused(server, &question).await?;
        first.get_or_insert(why);
    }
    first
}

/// The question whether a request may go on, about a subresource that there is only for such questions.
fn question<'a>(
    request: &'a ApiRequest,
    verb: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
) -> Attributes<'a> {
    Attributes {
        verb: Cow::Borrowed(verb),
        subresource: Cow::Borrowed(subresource),
        namespace: Cow::Borrowed(namespace),
        name: Cow::Borrowed(name),
        ..Attributes::of_request(&request.user, &request.info, &request.query)
    }
}

/// Why the answer is no.
async fn refused(server: &Server, question: &Attributes<'_>) -> Option<String> {
    let verdict = server.authorizer.decide(question).await;
    if verdict.allowed() {
        return None;
    }
    let message = question.forbidden_message(verdict.reason());
    let refusal = ApiError::forbidden(&GroupResource::new(GROUP, CLAIMS), &question.name, &message);
    Some(refusal.message().to_owned())
}

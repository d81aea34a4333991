//! Requests for resources: kind, verb and subresource lead to a handler.

use super::paths::not_found;
use crate::connect;
use crate::connect::listening::Listener;
use crate::request::ApiRequest;
use crate::reviews;
use crate::server::Server;
use crate::serving::body::Response;
use crate::subresources::{binding, component_status, eviction, scale, token};
use crate::verbs::target::Target;
use crate::verbs::{create, delete, get, list, patch, update, watch};
use api::Resource;
use apimachinery::{ApiError, Reason};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

pub async fn handle(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    let info = &request.info;
    let registry = server.registry.load_full();
    let Some(row) = registry.resource(&info.group, &info.version, &info.resource) else {
        let version = apimachinery::GroupVersion::new(&*info.group, &*info.version);
        // Where there are only custom kinds, nobody knows the path.
        let served = |row: &Resource| row.custom.is_none() && row.gvk.group_version() == version;
        return if registry.iter().any(|row| served(row)) {
            Err(no_such_resource())
        } else {
            Ok(not_found())
        };
    };
    if !addressable(row, request) {
        return match row.custom {
            Some(_) => Ok(not_found()),
            None => Err(no_such_resource()),
        };
    }

    match row.custom {
        Some(_) => check_custom(row, request)?,
        None => check_built_in(row, request)?,
    }
    if let Some(warning) = row.custom.as_ref().and_then(|custom| custom.deprecation.as_ref()) {
        request.warn(warning.as_str());
    }
    warn_of_deprecation(server, request, row);
    let mut target = Target::of(server, Arc::clone(row), info);
    if info.verb == "create" && info.subresource.is_empty() {
        // Whatever the path says: a new object has the name that is in it.
        target.name.clear();
    }
    match handler(server, request, &target, upgrade) {
        Some(handling) => handling.await,
        None => Err(ApiError::method_not_allowed()),
    }
}

/// What answers the request. In a box: the request's own future, which is moved several times before it runs, would else
/// have room for the largest of all.
fn handler<'a>(
    server: &'a Arc<Server>,
    request: &'a Arc<ApiRequest>,
    target: &'a Target,
    upgrade: Option<OnUpgrade>,
) -> Option<BoxFuture<'a, Result<Response, ApiError>>> {
    let (row, info) = (&target.row, &request.info);
    if matches!(
        (row.gvk.group.as_str(), info.subresource.as_str()),
        ("", "log" | "exec" | "attach" | "portforward" | "proxy")
    ) {
        return Some(connect::handle(server, request, target, upgrade).boxed());
    }
    if !row.is_stored() {
        return Some(match (row.gvk.group.as_str(), row.plural.as_str()) {
            ("", "bindings") => binding::bind(server, request, target).boxed(),
            ("authentication.k8s.io" | "authorization.k8s.io", _) => {
                reviews::handle(server, request, target).boxed()
            }
            _ => component_status::handle(server, request, target).boxed(),
        });
    }
    Some(match (info.verb.as_str(), info.subresource.as_str()) {
        ("get", "scale") => scale::get(server, request, target).boxed(),
        ("update" | "patch", "scale") => scale::change(server, request, target).boxed(),
        ("create", "binding") => binding::bind(server, request, target).boxed(),
        ("create", "eviction") => eviction::evict(server, request, target).boxed(),
        ("create", "token") => token::create(server, request, target).boxed(),
        ("get", "" | "status" | "ephemeralcontainers" | "resize" | "approval") => {
            get::get(server, request, target).boxed()
        }
        ("list", "") => list::list(server, request, target).boxed(),
        ("watch", "") => watch::watch(server, request, target, Listener::of(request, upgrade)).boxed(),
        ("create", "") => create::create(server, request, target).boxed(),
        ("update", "" | "status" | "finalize" | "approval" | "ephemeralcontainers" | "resize") => {
            update::update(server, request, target).boxed()
        }
        ("patch", "" | "status" | "approval" | "ephemeralcontainers" | "resize") => {
            patch::patch(server, request, target).boxed()
        }
        ("delete", "") => delete::delete(server, request, target).boxed(),
        ("deletecollection", "") => delete::delete_collection(server, request, target).boxed(),
        _ => return None,
    })
}

/// Paths of built-in kinds have routes for methods. To proxies all go; of the others each has its own, and HEAD is nobody's.
fn check_built_in(row: &Resource, request: &ApiRequest) -> Result<(), ApiError> {
    let info = &request.info;
    if request.method == http::Method::HEAD && info.subresource != "proxy" {
        return Err(ApiError::method_not_allowed());
    }
    if info.subresource.is_empty() {
        if !row.has_verb(&info.verb) || !names_fittingly(&info.verb, &info.name) {
            return Err(ApiError::method_not_allowed());
        }
        return Ok(());
    }
    let subresource = row.subresource(&info.subresource).ok_or_else(no_such_resource)?;
    // A proxy passes OPTIONS on too, which is no verb of the API.
    let passed_on = info.subresource == "proxy" && request.method == http::Method::OPTIONS;
    if !passed_on && !subresource.verbs.contains(&info.verb) {
        return Err(ApiError::method_not_allowed());
    }
    Ok(())
}

/// Custom resources have no routes: the verb alone decides, so that HEAD reads, and an object may be created under any name.
fn check_custom(row: &Resource, request: &ApiRequest) -> Result<(), ApiError> {
    let info = &request.info;
    let known = if info.subresource.is_empty() {
        row.has_verb(&info.verb)
    } else {
        let subresource = row.subresource(&info.subresource);
        let subresource =
            subresource.ok_or_else(|| ApiError::not_found(&row.group_resource(), &info.name))?;
        subresource.verbs.contains(&info.verb)
    };
    if !known {
        return Err(ApiError::method_not_supported(&row.group_resource(), &info.verb));
    }
    if info.name.is_empty() && matches!(info.verb.as_str(), "update" | "patch") {
        return Err(ApiError::bad_request("name must be provided"));
    }
    Ok(())
}

/// One object is read and changed by its name; a new one is made in the collection.
fn names_fittingly(verb: &str, name: &str) -> bool {
    match verb {
        "create" => name.is_empty(),
        "get" | "update" | "patch" | "delete" => !name.is_empty(),
        _ => true,
    }
}

fn no_such_resource() -> ApiError {
    ApiError::new(
        404,
        Reason::NotFound,
        "the server could not find the requested resource",
        Some(Default::default()),
    )
}

/// Kinds that clients should stop using.
const DEPRECATED: &[(&str, &str, &str)] = &[
    (
        "",
        "endpoints",
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
    (
        "",
        "componentstatuses",
        "v1 ComponentStatus is deprecated in v1.19+",
    ),
];

fn warn_of_deprecation(server: &Server, request: &ApiRequest, row: &Resource) {
    for (group, plural, text) in DEPRECATED {
        if row.gvk.group == *group && row.plural == *plural {
            request.warn(*text);
            server.metrics.deprecated(&request.info);
            request.annotate("k8s.io/deprecated".to_owned(), "true".to_owned());
        }
    }
}

/// Whether the URL's form fits the kind: namespaced objects are named within a namespace only, others never. Built-in ones may be
/// made elsewhere, as far as the URL goes.
fn addressable(row: &Resource, request: &ApiRequest) -> bool {
    let info = &request.info;
    if row.namespaced {
        let across = matches!(info.verb.as_str(), "list" | "watch");
        let made = row.custom.is_none() && info.name.is_empty() && info.verb == "create";
        return !info.namespace.is_empty() || across || made;
    }
    info.namespace.is_empty() || row.plural == "namespaces"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_name_one_object_or_none() {
        for (verb, name, fits) in [
            ("create", "", true),
            ("create", "a", false),
            ("update", "", false),
            ("update", "a", true),
            ("patch", "", false),
            ("delete", "", false),
            ("list", "", true),
            ("watch", "a", true),
        ] {
            assert_eq!(names_fittingly(verb, name), fits, "{verb} {name}");
        }
    }
}

//! One constructor per upstream error, with its message.
use super::{ApiError, Details, Reason};
use crate::field::{self, Error};
use crate::gvk::{GroupResource, GroupVersionKind};

fn about(resource: &GroupResource, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.group.clone(),
        kind: resource.resource.clone(),
        ..Details::default()
    }
}

impl ApiError {
    /// 404: no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(
            404,
            Reason::NotFound,
            format!("{resource} {} not found", field::quote(name)),
            Some(about(resource, name)),
        )
    }

    /// 404: no such resource or path.
    pub fn unknown_resource() -> Self {
        Self::new(
            404,
            Reason::NotFound,
            "the server could not find the requested resource",
            Some(Details::default()),
        )
    }

    /// 409: an object of that name is there already.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} already exists", field::quote(name));
        Self::new(409, Reason::AlreadyExists, message, Some(about(resource, name)))
    }

    /// 409: none of the names that the server chose was free.
    pub fn no_free_name(resource: &GroupResource, name: &str) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            field::quote(name)
        );
        let details = Details {
            retry_after_seconds: 1,
            ..about(resource, name)
        };
        Self::new(409, Reason::AlreadyExists, message, Some(details))
    }

    /// 409: the object changed, or a precondition does not hold.
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {resource} {}: {why}",
            field::quote(name)
        );
        Self::new(409, Reason::Conflict, message, Some(about(resource, name)))
    }

    /// 409: the resource version in the request is not the current one.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        const WHY: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, WHY)
    }

    /// 422: the object breaks validation rules.
    pub fn invalid(kind: &GroupVersionKind, name: &str, errors: &[Error]) -> Self {
        let message = format!(
            "{} {} is invalid: {}",
            kind.group_kind(),
            field::quote(name),
            field::aggregate(errors)
        );
        let details = Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(Error::cause).collect(),
            ..Details::default()
        };
        Self::new(422, Reason::Invalid, message, Some(details))
    }

    /// 403: not allowed, by authorization or admission.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} {} is forbidden: {why}", field::quote(name)),
        };
        Self::new(403, Reason::Forbidden, message, Some(about(resource, name)))
    }

    /// 401: who is asking is not known.
    pub fn unauthorized(why: &str) -> Self {
        Self::new(
            401,
            Reason::Unauthorized,
            if why.is_empty() { "not authorized" } else { why },
            None,
        )
    }

    /// 400: the request makes no sense.
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(400, Reason::BadRequest, why, None)
    }

    /// 410: the wanted version was compacted away; list again.
    pub fn expired(why: impl Into<String>) -> Self {
        Self::new(410, Reason::Expired, why, None)
    }

    /// 410: gone for good.
    pub fn gone(why: impl Into<String>) -> Self {
        Self::new(410, Reason::Gone, why, None)
    }

    /// 405: the resource doesn't have this verb.
    pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::new(405, Reason::MethodNotAllowed, message, Some(about(resource, "")))
    }

    /// 405 for a path that doesn't take the HTTP method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
            Some(Details::default()),
        )
    }

    /// 504: the request took too long.
    pub fn timeout(why: &str, retry_after_seconds: i32) -> Self {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Self::new(504, Reason::Timeout, format!("Timeout: {why}"), Some(details))
    }

    /// 500: the server could not finish in time; the operation may have happened.
    pub fn server_timeout(resource: &GroupResource, operation: &str, retry_after_seconds: i32) -> Self {
        let details = Details {
            retry_after_seconds,
            ..about(resource, operation)
        };
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        Self::new(500, Reason::ServerTimeout, message, Some(details))
    }

    /// 429: slow down.
    pub fn too_many_requests(why: &str, retry_after_seconds: i32) -> Self {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Self::new(429, Reason::TooManyRequests, why, Some(details))
    }

    /// 415: the body is in a format that isn't read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, Reason::UnsupportedMediaType, message, None)
    }

    /// 406: no format that the client accepts is written.
    pub fn not_acceptable(available: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            available.join(", ")
        );
        Self::new(406, Reason::NotAcceptable, message, None)
    }

    /// 413: the body is too long.
    pub fn request_entity_too_large(why: &str) -> Self {
        Self::new(
            413,
            Reason::RequestEntityTooLarge,
            format!("Request entity too large: {why}"),
            None,
        )
    }

    /// 500: something broke here.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        let cause = super::Cause {
            message: why.clone(),
            ..super::Cause::default()
        };
        let details = Details {
            causes: vec![cause],
            ..Details::default()
        };
        Self::new(
            500,
            Reason::InternalError,
            format!("Internal error occurred: {why}"),
            Some(details),
        )
    }

    /// 503: not now.
    pub fn service_unavailable(why: &str) -> Self {
        Self::new(503, Reason::ServiceUnavailable, why, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::json;

    #[test]
    fn statuses_read_as_upstreams() {
        let deployments = GroupResource::new("apps", "deployments");
        assert_eq!(
            ApiError::not_found(&deployments, "x").message(),
            "deployments.apps \"x\" not found"
        );
        let kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let errors = [Error::required(
            &Path::new("metadata").child("name"),
            "name or generateName is required",
        )];
        assert_eq!(
            ApiError::invalid(&kind, "", &errors).to_status(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422, "reason": "Invalid",
                "message": "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
                "details": {"kind": "ConfigMap", "causes": [{"reason": "FieldValueRequired", "field": "metadata.name",
                    "message": "Required value: name or generateName is required"}]}})
        );
        let error = ApiError::modified(&deployments, "x");
        assert_eq!(ApiError::from_status(&error.to_status()), Some(error));
    }
}

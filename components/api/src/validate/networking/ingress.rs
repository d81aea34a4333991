//! Validation of ingresses and their classes.
use crate::features::{Feature, Features};
use crate::validate::shared::{self, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::{Value, json};

/// An Ingress, new or changed.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let relaxed = features.has(Feature::RelaxedServiceNameValidation)
        || old.is_some_and(|old| has_relaxed_name(at(old, &["spec"])));
    let name = if relaxed {
        names::dns1123_label
    } else {
        names::dns1035_label
    };
    let kept = old.map_or_else(Kept::default, |old| Kept::from(at(old, &["spec"])));
    let mut errors = ingress(at(new, &["spec"]), name, kept, &Path::new("spec"));
    errors.extend(old_class(new).filter(|_| old.is_none()));
    errors
}

/// What an ingress may go on having, since it was there before there was a rule against it.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Names of secrets that are none.
    secrets: bool,
    /// Paths of hosts with a star.
    wildcard_paths: bool,
}

impl Kept {
    fn from(spec: &Value) -> Self {
        let odd_secret = |tls: &Value| !secret_name(tls, &Path::root()).is_empty();
        let odd_paths = |rule: &Value| {
            // Upstream's check of what was there knows only the older names of services.
            text(rule, &["host"]).contains('*') && !http(rule, names::dns1035_label, &Path::root()).is_empty()
        };
        Self {
            secrets: list(spec, &["tls"]).iter().any(odd_secret),
            wildcard_paths: list(spec, &["rules"]).iter().any(odd_paths),
        }
    }
}

/// How names of services are checked.
type NameCheck = fn(&str) -> Vec<String>;

/// Whether a service is named that may only be there since names may begin with a digit.
fn has_relaxed_name(spec: &Value) -> bool {
    let rules = list(spec, &["rules"]).iter();
    let paths = rules.flat_map(|rule| list(rule, &["http", "paths"]));
    let backends = paths
        .map(|path| at(path, &["backend"]))
        .chain([at(spec, &["defaultBackend"])]);
    let mut names = backends.map(|backend| text(backend, &["service", "name"]));
    names.any(|name| !names::dns1035_label(name).is_empty() && names::dns1123_label(name).is_empty())
}

fn ingress(spec: &Value, name: NameCheck, kept: Kept, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if list(spec, &["rules"]).is_empty() && !at(spec, &["defaultBackend"]).is_object() {
        errors.push(Error::invalid(
            path,
            at(spec, &["rules"]),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if at(spec, &["defaultBackend"]).is_object() {
        errors.extend(backend(
            at(spec, &["defaultBackend"]),
            name,
            &path.child("defaultBackend"),
        ));
    }
    for (index, rule) in list(spec, &["rules"]).iter().enumerate() {
        let path = path.child("rules").index(index);
        let host = text(rule, &["host"]);
        if !host.is_empty() {
            errors.extend(host_name(host, &path.child("host")));
        }
        if !(kept.wildcard_paths && host.contains('*')) {
            errors.extend(http(rule, name, &path));
        }
    }
    for (index, tls) in list(spec, &["tls"]).iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in list(tls, &["hosts"]).iter().filter_map(Value::as_str).enumerate() {
            errors.extend(dns_name(host, &path.child("hosts").index(index)));
        }
        if !kept.secrets {
            errors.extend(secret_name(tls, &path.child("secretName")));
        }
    }
    if let Some(class) = at(spec, &["ingressClassName"]).as_str() {
        errors.extend(texts(
            &path.child("ingressClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors
}

fn secret_name(tls: &Value, path: &Path) -> ErrorList {
    match text(tls, &["secretName"]) {
        "" => ErrorList::new(),
        secret => texts(path, secret, names::dns1123_subdomain(secret)),
    }
}

/// The paths of a rule, if it has any.
fn http(rule: &Value, name: NameCheck, path: &Path) -> ErrorList {
    if !at(rule, &["http"]).is_object() {
        return ErrorList::new();
    }
    let (paths, path) = (list(rule, &["http", "paths"]), path.child("http.paths"));
    let mut errors = ErrorList::new();
    if paths.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    for (index, item) in paths.iter().enumerate() {
        errors.extend(http_path(item, name, &path.index(index)));
    }
    errors
}

/// The annotation that named the class before the field did.
fn old_class(ingress: &Value) -> Option<Error> {
    const CLASS: &str = "kubernetes.io/ingress.class";
    let (old, new) = (
        meta::annotation(ingress, CLASS)?,
        at(ingress, &["spec", "ingressClassName"]).as_str()?,
    );
    (old != new).then(|| {
        Error::invalid(
            &Path::new("annotations").child(CLASS),
            old,
            "must match `ingressClassName` when both are specified",
        )
    })
}

fn host_name(host: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if crate::addresses::ip(host).is_some() {
        errors.push(Error::invalid(
            path,
            host,
            "must be a DNS name, not an IP address",
        ));
    }
    errors.extend(dns_name(host, path));
    errors
}

fn dns_name(host: &str, path: &Path) -> ErrorList {
    texts(
        path,
        host,
        if host.contains('*') {
            names::wildcard_dns1123_subdomain(host)
        } else {
            names::dns1123_subdomain(host)
        },
    )
}

fn http_path(item: &Value, name: NameCheck, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let value = text(item, &["path"]);
    match at(item, &["pathType"]).as_str() {
        None => {
            return vec![Error::required(
                &path.child("pathType"),
                "pathType must be specified",
            )];
        }
        Some("Exact" | "Prefix") => {
            if !value.starts_with('/') {
                errors.push(Error::invalid(
                    &path.child("path"),
                    value,
                    "must be an absolute path",
                ));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if value.contains(part) {
                    errors.push(Error::invalid(
                        &path.child("path"),
                        value,
                        format!("must not contain '{part}'"),
                    ));
                }
            }
            for part in ["/..", "/."] {
                if value.ends_with(part) {
                    errors.push(Error::invalid(
                        &path.child("path"),
                        value,
                        format!("cannot end with '{part}'"),
                    ));
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.push(Error::invalid(
                    &path.child("path"),
                    value,
                    "must be an absolute path",
                ));
            }
        }
        Some(other) => errors.push(Error::not_supported(
            &path.child("pathType"),
            other,
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    errors.extend(backend(at(item, &["backend"]), name, &path.child("backend")));
    errors
}

fn backend(backend: &Value, check: NameCheck, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (service, resource) = (at(backend, &["service"]), at(backend, &["resource"]));
    match (service.is_object(), resource.is_object()) {
        (true, true) => errors.push(Error::invalid(
            path,
            "",
            "cannot set both resource and service backends",
        )),
        (false, false) => errors.push(Error::invalid(
            path,
            "",
            "resource or service backend is required",
        )),
        (false, true) => errors.extend(reference(resource, &path.child("resource"))),
        (true, false) => {
            let name = text(service, &["name"]);
            let service_path = path.child("service");
            if name.is_empty() {
                errors.push(Error::required(&service_path.child("name"), ""));
            } else {
                errors.extend(texts(&service_path.child("name"), name, check(name)));
            }
            let (port_name, number) = (
                text(service, &["port", "name"]),
                int(service, &["port", "number"]).unwrap_or(0),
            );
            match (port_name.is_empty(), number == 0) {
                (false, false) => errors.push(Error::invalid(
                    path,
                    "",
                    "cannot set both port name & port number",
                )),
                (true, true) => errors.push(Error::required(path, "port name or number is required")),
                (false, true) => errors.extend(texts(
                    &service_path.child("port.name"),
                    port_name,
                    names::port_name(port_name),
                )),
                (true, false) => {
                    errors.extend(shared::port(&service_path.child("port.number"), &json!(number)))
                }
            }
        }
    }
    errors
}

/// An IngressClass.
pub(super) fn class(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let path_of_controller = path.child("controller");
    let controller = text(new, &["spec", "controller"]);
    if old.is_some_and(|old| text(old, &["spec", "controller"]) != controller) {
        errors.push(Error::invalid(
            &path_of_controller,
            controller,
            "field is immutable",
        ));
    }
    if controller.len() > 250 {
        errors.push(Error::too_long(&path_of_controller, 250));
    }
    errors.extend(shared::domain_prefixed_path(&path_of_controller, controller));
    let parameters = at(new, &["spec", "parameters"]);
    if parameters.is_object() {
        let path = path.child("parameters");
        errors.extend(reference(parameters, &path));
        let namespace = at(parameters, &["namespace"]).as_str();
        let path_of_namespace = path.child("namespace");
        match text(parameters, &["scope"]) {
            "Namespace" => match namespace {
                None => errors.push(Error::required(
                    &path_of_namespace,
                    "`parameters.scope` is set to 'Namespace'",
                )),
                Some(name) => {
                    errors.extend(texts(&path_of_namespace, name, names::dns1123_label(name)));
                }
            },
            "Cluster" if namespace.is_some() => errors.push(Error::forbidden(
                &path_of_namespace,
                "`parameters.scope` is set to 'Cluster'",
            )),
            "Cluster" => {}
            scope => errors.push(Error::not_supported(
                &path.child("scope"),
                scope,
                &["Cluster", "Namespace"],
            )),
        }
    }
    errors
}

/// An object of some group.
fn reference(reference: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(group) = at(reference, &["apiGroup"]).as_str() {
        errors.extend(texts(
            &path.child("apiGroup"),
            group,
            names::dns1123_subdomain(group),
        ));
    }
    for field in ["kind", "name"] {
        match text(reference, &[field]) {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(texts(&path.child(field), name, names::path_segment_name(name))),
        }
    }
    errors
}

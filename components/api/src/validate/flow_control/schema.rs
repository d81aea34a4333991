//! Flow schemas: which requests go to which priority level.
use crate::validate::internal;
use crate::validate::shared::texts;
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

/// The spec of a flow schema.
pub(super) fn check(name: &str, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let precedence = int(spec, &["matchingPrecedence"]).unwrap_or(0);
    if precedence <= 0 {
        errors.push(Error::invalid(
            &path.child("matchingPrecedence"),
            precedence,
            "must be a positive value",
        ));
    }
    if precedence > 10_000 {
        errors.push(Error::invalid(
            &path.child("matchingPrecedence"),
            precedence,
            "must not be greater than 10000",
        ));
    }
    if precedence == 1 && name != "exempt" {
        errors.push(Error::invalid(
            &path.child("matchingPrecedence"),
            precedence,
            "only the schema named 'exempt' may have matchingPrecedence 1",
        ));
    }
    let method = at(spec, &["distinguisherMethod"]);
    if method.is_object() && !matches!(text(method, &["type"]), "ByNamespace" | "ByUser") {
        errors.push(Error::not_supported(
            &path.child("distinguisherMethod.type"),
            internal::shown(internal::DISTINGUISHER, method),
            &["ByNamespace", "ByUser"],
        ));
    }
    let level = text(spec, &["priorityLevelConfiguration", "name"]);
    let level_path = path.child("priorityLevelConfiguration.name");
    if level.is_empty() {
        errors.push(Error::required(&level_path, "must reference a priority level"));
    } else {
        errors.extend(texts(&level_path, level, names::dns1123_subdomain(level)));
    }
    for (index, rule) in list(spec, &["rules"]).iter().enumerate() {
        errors.extend(self::rule(rule, &path.child("rules").index(index)));
    }
    errors
}

fn rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let subjects = list(rule, &["subjects"]);
    if subjects.is_empty() {
        errors.push(Error::required(
            &path.child("subjects"),
            "subjects must contain at least one value",
        ));
    }
    for (index, subject) in subjects.iter().enumerate() {
        errors.extend(self::subject(subject, &path.child("subjects").index(index)));
    }
    let (resources, others) = (list(rule, &["resourceRules"]), list(rule, &["nonResourceRules"]));
    if resources.is_empty() && others.is_empty() {
        errors.push(Error::required(
            path,
            "at least one of resourceRules and nonResourceRules has to be non-empty",
        ));
    }
    for (index, rule) in resources.iter().enumerate() {
        errors.extend(resource_rule(rule, &path.child("resourceRules").index(index)));
    }
    for (index, rule) in others.iter().enumerate() {
        errors.extend(non_resource_rule(
            rule,
            &path.child("nonResourceRules").index(index),
        ));
    }
    errors
}

/// A subject has the field that its kind says, and no other.
fn subject(subject: &Value, path: &Path) -> ErrorList {
    const FIELDS: [(&str, &str); 3] = [
        ("ServiceAccount", "serviceAccount"),
        ("User", "user"),
        ("Group", "group"),
    ];
    let kind = text(subject, &["kind"]);
    let Some((_, own)) = FIELDS.iter().find(|(known, _)| *known == kind) else {
        return vec![Error::not_supported(
            &path.child("kind"),
            kind,
            &["Group", "ServiceAccount", "User"],
        )];
    };
    let (given, path_of_own) = (at(subject, &[own]), path.child(own));
    let mut errors = if !given.is_object() {
        vec![Error::required(
            &path_of_own,
            format!("{own} is required when subject kind is '{kind}'"),
        )]
    } else if kind == "ServiceAccount" {
        account(given, &path_of_own)
    } else if text(given, &["name"]).is_empty() {
        vec![Error::required(&path_of_own.child("name"), "")]
    } else {
        ErrorList::new()
    };
    for (kind, field) in FIELDS.iter().filter(|(_, field)| field != own) {
        if at(subject, &[field]).is_object() {
            errors.push(Error::forbidden(
                &path.child(field),
                format!("{field} is forbidden when subject kind is not '{kind}'"),
            ));
        }
    }
    errors
}

/// One account of a namespace, or all of them.
fn account(account: &Value, path: &Path) -> ErrorList {
    let mut errors = match text(account, &["name"]) {
        "" => vec![Error::required(&path.child("name"), "")],
        "*" => ErrorList::new(),
        name => texts(&path.child("name"), name, names::dns1123_subdomain(name)),
    };
    match text(account, &["namespace"]) {
        "" => errors.push(Error::required(
            &path.child("namespace"),
            "must specify namespace for service account",
        )),
        namespace => errors.extend(texts(
            &path.child("namespace"),
            namespace,
            names::dns1123_label(namespace),
        )),
    }
    errors
}

fn has_wildcard(values: &[Value]) -> bool {
    values.iter().any(|value| value == "*")
}

/// An error where `*` is not alone, which stands for all.
fn wildcard_among(values: &[Value], others: &str, path: &Path) -> Option<Error> {
    (values.len() > 1).then(|| {
        Error::invalid(
            path,
            Value::from(values),
            format!("if '*' is present, must not specify other {others}"),
        )
    })
}

fn resource_rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = verbs(rule, path).into_iter().collect();
    for (field, noun, others) in [
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ] {
        let (values, path) = (list(rule, &[field]), path.child(field));
        if values.is_empty() {
            errors.push(Error::required(
                &path,
                format!("resource rules must supply at least one {noun}"),
            ));
        } else if has_wildcard(values) {
            errors.extend(wildcard_among(values, others, &path));
        }
    }
    let (namespaces, path) = (list(rule, &["namespaces"]), path.child("namespaces"));
    if namespaces.is_empty() && !flag(rule, &["clusterScope"]) {
        errors.push(Error::required(
            &path,
            "resource rules that are not cluster scoped must supply at least one namespace",
        ));
    } else if has_wildcard(namespaces) {
        errors.extend(wildcard_among(namespaces, "namespaces", &path));
    } else {
        for (index, namespace) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            for message in names::dns1123_label(namespace) {
                errors.push(Error::invalid(
                    &path.index(index),
                    namespace,
                    format!("each member of this list must be '*' or a DNS-1123 label; {message}"),
                ));
            }
        }
    }
    errors
}

fn non_resource_rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = verbs(rule, path).into_iter().collect();
    let (urls, path) = (list(rule, &["nonResourceURLs"]), path.child("nonResourceURLs"));
    if urls.is_empty() {
        errors.push(Error::required(
            &path,
            "nonResourceURLs must contain at least one value",
        ));
    } else if has_wildcard(urls) {
        errors.extend(wildcard_among(urls, "non-resource URLs", &path));
    } else {
        for (index, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(unfit(url).map(|why| Error::invalid(&path.index(index), url, why)));
        }
    }
    errors
}

/// Why this is no path of requests for something else than objects; a star may stand for all that comes after a slash.
fn unfit(url: &str) -> Option<&'static str> {
    if url.is_empty() {
        Some("must not be empty")
    } else if url == "/" {
        None
    } else if !url.starts_with('/') {
        Some("must start with slash")
    } else if url.contains(' ') {
        Some("must not contain white-space")
    } else if url.contains("//") {
        Some("must not contain double slash")
    } else {
        let stars = url.matches('*').count();
        (stars > 1 || (stars == 1 && !url.ends_with("/*"))).then_some("wildcard can only do suffix matching")
    }
}

fn verbs(rule: &Value, path: &Path) -> Option<Error> {
    let (verbs, path) = (list(rule, &["verbs"]), path.child("verbs"));
    if verbs.is_empty() {
        return Some(Error::required(&path, "verbs must contain at least one value"));
    }
    if has_wildcard(verbs) {
        return wildcard_among(verbs, "verbs", &path);
    }
    let known = |verb: &Value| verb.as_str().is_some_and(|verb| VERBS.contains(&verb));
    (!verbs.iter().all(known)).then(|| Error::not_supported(&path, Value::from(verbs), VERBS))
}

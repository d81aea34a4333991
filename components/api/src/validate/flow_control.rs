//! Validation of flow schemas and priority levels.
use super::internal;
use super::shared::{one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
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

/// A new or changed flow schema or priority level.
pub(super) fn check(kind: &str, new: &Value) -> Option<ErrorList> {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    match kind {
        "FlowSchema" => {
            let mut errors = flow_schema(spec, &path);
            if meta::name(new) != "exempt" && int(spec, &["matchingPrecedence"]) == Some(1) {
                errors.push(Error::invalid(
                    &path.child("matchingPrecedence"),
                    1,
                    "only the schema named 'exempt' may have matchingPrecedence 1",
                ));
            }
            Some(errors)
        }
        "PriorityLevelConfiguration" => {
            let mut errors = ErrorList::new();
            let kind = text(spec, &["type"]);
            if (meta::name(new) == "exempt") != (kind == "Exempt") {
                errors.push(Error::invalid(
                    &path.child("type"),
                    kind,
                    "type must be 'Exempt' if and only if name is 'exempt'",
                ));
            }
            errors.extend(priority_level(spec, &path));
            Some(errors)
        }
        _ => None,
    }
}

fn flow_schema(spec: &Value, path: &Path) -> ErrorList {
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
        let path = path.child("subjects").index(index);
        let (kind, field) = match text(subject, &["kind"]) {
            "User" => ("User", "user"),
            "Group" => ("Group", "group"),
            "ServiceAccount" => ("ServiceAccount", "serviceAccount"),
            other => {
                errors.push(Error::not_supported(
                    &path.child("kind"),
                    other,
                    &["Group", "ServiceAccount", "User"],
                ));
                continue;
            }
        };
        if !at(subject, &[field]).is_object() {
            errors.push(Error::required(
                &path.child(field),
                format!("{field} is required when subject kind is '{kind}'"),
            ));
        } else if text(subject, &[field, "name"]).is_empty() {
            errors.push(Error::required(&path.child(field).child("name"), ""));
        } else if kind == "ServiceAccount" && text(subject, &[field, "namespace"]).is_empty() {
            errors.push(Error::required(
                &path.child(field).child("namespace"),
                "must specify namespace for service account",
            ));
        }
    }
    if list(rule, &["resourceRules"]).is_empty() && list(rule, &["nonResourceRules"]).is_empty() {
        errors.push(Error::required(
            path,
            "at least one of resourceRules and nonResourceRules has to be non-empty",
        ));
    }
    for (index, rule) in list(rule, &["resourceRules"]).iter().enumerate() {
        let path = path.child("resourceRules").index(index);
        errors.extend(verbs(rule, &path));
        for (field, noun) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if list(rule, &[field]).is_empty() {
                errors.push(Error::required(&path.child(field), noun));
            } else if list(rule, &[field]).len() > 1 && list(rule, &[field]).iter().any(|value| value == "*")
            {
                errors.push(Error::invalid(
                    &path.child(field),
                    at(rule, &[field]),
                    "if '*' is present, must not specify other api groups",
                ));
            }
        }
        let namespaces = list(rule, &["namespaces"]);
        if namespaces.is_empty() && at(rule, &["clusterScope"]) != &Value::Bool(true) {
            errors.push(Error::required(
                &path.child("namespaces"),
                "resource rules that are not cluster scoped must supply at least one namespace",
            ));
        }
        if namespaces.len() > 1 && namespaces.iter().any(|namespace| namespace == "*") {
            errors.push(Error::invalid(
                &path.child("namespaces"),
                Value::from(namespaces),
                "if '*' is present, must not specify other namespaces",
            ));
        }
        for (index, namespace) in namespaces
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
            .filter(|(_, namespace)| *namespace != "*")
        {
            for message in names::dns1123_label(namespace) {
                errors.push(Error::invalid(
                    &path.child("namespaces").index(index),
                    namespace,
                    format!("each member of this list must be '*' or a DNS-1123 label; {message}"),
                ));
            }
        }
    }
    for (index, rule) in list(rule, &["nonResourceRules"]).iter().enumerate() {
        let path = path.child("nonResourceRules").index(index);
        errors.extend(verbs(rule, &path));
        let urls = list(rule, &["nonResourceURLs"]);
        let path = path.child("nonResourceURLs");
        if urls.is_empty() {
            errors.push(Error::required(
                &path,
                "nonResourceURLs must contain at least one value",
            ));
        }
        for (index, url) in urls
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
            .filter(|(_, url)| *url != "*")
        {
            if url.is_empty() {
                errors.push(Error::invalid(&path.index(index), url, "must not be empty"));
            } else if !url.starts_with('/') {
                errors.push(Error::invalid(&path.index(index), url, "must start with slash"));
            }
        }
    }
    errors
}

fn verbs(rule: &Value, path: &Path) -> ErrorList {
    let verbs = list(rule, &["verbs"]);
    if verbs.is_empty() {
        return vec![Error::required(
            &path.child("verbs"),
            "verbs must contain at least one value",
        )];
    }
    let every = verbs.iter().any(|verb| verb == "*");
    if every && verbs.len() > 1 {
        return vec![Error::invalid(
            &path.child("verbs"),
            Value::from(verbs),
            "if '*' is present, must not specify other verbs",
        )];
    }
    if !every && verbs.iter().any(|verb| !VERBS.iter().any(|known| verb == known)) {
        return vec![Error::not_supported(
            &path.child("verbs"),
            Value::from(verbs),
            VERBS,
        )];
    }
    ErrorList::new()
}

fn priority_level(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match text(spec, &["type"]) {
        "Exempt" if at(spec, &["limited"]).is_object() => errors.push(Error::forbidden(
            &path.child("limited"),
            "must be nil if the type is not Limited",
        )),
        "Exempt" => errors.extend(exempt(at(spec, &["exempt"]), &path.child("exempt"))),
        "Limited" if at(spec, &["exempt"]).is_object() => errors.push(Error::forbidden(
            &path.child("exempt"),
            "must be nil if the type is Limited",
        )),
        "Limited" if !at(spec, &["limited"]).is_object() => errors.push(Error::required(
            &path.child("limited"),
            "must not be empty when type is Limited",
        )),
        "Limited" => errors.extend(limited(at(spec, &["limited"]), &path.child("limited"))),
        _ => errors.extend(one_of(
            &path.child("type"),
            at(spec, &["type"]),
            &["Exempt", "Limited"],
        )),
    }
    errors
}

fn exempt(exempt: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(shares) = int(exempt, &["nominalConcurrencyShares"]).filter(|shares| *shares < 0) {
        errors.push(Error::invalid(
            &path.child("nominalConcurrencyShares"),
            shares,
            "must be a non-negative integer",
        ));
    }
    errors.extend(lendable(exempt, path));
    errors
}

fn lendable(level: &Value, path: &Path) -> Option<Error> {
    let percent = int(level, &["lendablePercent"]).filter(|percent| !(0..=100).contains(percent))?;
    Some(Error::invalid(
        &path.child("lendablePercent"),
        percent,
        "must be between 0 and 100, inclusive",
    ))
}

fn limited(limited: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(shares) = int(limited, &["nominalConcurrencyShares"]).filter(|shares| *shares < 0) {
        errors.push(Error::invalid(
            &path.child("nominalConcurrencyShares"),
            shares,
            "must be a non-negative integer",
        ));
    }
    let response = at(limited, &["limitResponse"]);
    let queuing = at(response, &["queuing"]);
    let response_path = path.child("limitResponse");
    match text(response, &["type"]) {
        "Reject" if queuing.is_object() => errors.push(Error::forbidden(
            &response_path.child("queuing"),
            "must be nil if limited.limitResponse.type is not Limited",
        )),
        "Reject" => {}
        "Queue" if !queuing.is_object() => errors.push(Error::required(
            &response_path.child("queuing"),
            "must not be empty if limited.limitResponse.type is Limited",
        )),
        "Queue" => errors.extend(self::queuing(queuing, &response_path.child("queuing"))),
        _ => errors.extend(one_of(
            &response_path.child("type"),
            at(response, &["type"]),
            &["Queue", "Reject"],
        )),
    }
    errors.extend(lendable(limited, path));
    if let Some(percent) = int(limited, &["borrowingLimitPercent"]).filter(|percent| *percent < 0) {
        errors.push(Error::invalid(
            &path.child("borrowingLimitPercent"),
            percent,
            "if specified, must be a non-negative integer",
        ));
    }
    errors
}

fn queuing(queuing: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let number = |field: &str| int(queuing, &[field]).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    let positive = |field: &str| {
        (number(field) <= 0).then(|| Error::invalid(&path.child(field), number(field), "must be positive"))
    };
    errors.extend(positive("queueLengthLimit"));
    errors.extend(positive("queues"));
    errors.extend(positive("handSize"));
    if hand > 0 && hand > queues {
        errors.push(Error::invalid(
            &path.child("handSize"),
            hand,
            format!("should not be greater than queues ({queues})"),
        ));
    } else if hand > 0 && queues > 0 {
        let bits: f64 = (0..hand.min(64))
            .map(|index| ((queues - index) as f64).log2())
            .sum();
        if bits.ceil() > 60.0 {
            errors.push(Error::invalid(&path.child("handSize"), hand, format!("required entropy bits of deckSize {queues} and handSize {hand} should not be greater than 60")));
        }
    }
    errors
}

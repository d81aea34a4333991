use super::expressions;
use super::rules::rule;
use crate::validate::shared::{label_selector, maybe_one_of, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// The webhooks of a configuration.
pub(super) fn webhooks(mutating: bool, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, hook) in list(new, &["webhooks"]).iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        let name = text(hook, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.extend(texts(&path.child("name"), name, names::dns1123_subdomain(name)));
            if names::dns1123_subdomain(name).is_empty() && name.split('.').count() < 3 {
                errors.push(Error::invalid(
                    &path.child("name"),
                    name,
                    "should be a domain with at least three segments separated by dots",
                ));
            }
        }
        for (index, rule) in list(hook, &["rules"]).iter().enumerate() {
            errors.extend(self::rule(rule, &path.child("rules").index(index)));
        }
        errors.extend(maybe_one_of(
            &path.child("failurePolicy"),
            at(hook, &["failurePolicy"]),
            &["Fail", "Ignore"],
        ));
        errors.extend(maybe_one_of(
            &path.child("matchPolicy"),
            at(hook, &["matchPolicy"]),
            &["Equivalent", "Exact"],
        ));
        match at(hook, &["sideEffects"]) {
            Value::Null => errors.push(Error::required(
                &path.child("sideEffects"),
                "must specify one of None, NoneOnDryRun",
            )),
            effects => errors.extend(one_of(
                &path.child("sideEffects"),
                effects,
                &["None", "NoneOnDryRun"],
            )),
        }
        if mutating {
            errors.extend(maybe_one_of(
                &path.child("reinvocationPolicy"),
                at(hook, &["reinvocationPolicy"]),
                &["IfNeeded", "Never"],
            ));
        }
        if let Some(seconds) = int(hook, &["timeoutSeconds"]).filter(|seconds| !(1..=30).contains(seconds)) {
            errors.push(Error::invalid(
                &path.child("timeoutSeconds"),
                seconds,
                "the timeout value must be between 1 and 30 seconds",
            ));
        }
        for field in ["namespaceSelector", "objectSelector"] {
            errors.extend(label_selector(&path.child(field), at(hook, &[field])));
        }
        errors.extend(client(at(hook, &["clientConfig"]), &path.child("clientConfig")));
        errors.extend(match_conditions(hook, false, &path.child("matchConditions")));
        errors.extend(review_versions(hook, &path.child("admissionReviewVersions")));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

/// The versions of AdmissionReview that a webhook understands; it must know one that we send.
fn review_versions(hook: &Value, path: &Path) -> ErrorList {
    let versions = list(hook, &["admissionReviewVersions"]);
    if versions.is_empty() {
        return vec![Error::required(path, "must specify one of v1, v1beta1")];
    }
    let mut errors = ErrorList::new();
    for (index, version) in versions.iter().enumerate() {
        let (path, shown) = (path.index(index), version.as_str().unwrap_or(""));
        if versions[..index].contains(version) {
            errors.push(Error::invalid(&path, shown, "duplicate version"));
        } else {
            errors.extend(texts(&path, shown, names::dns1035_label(shown)));
        }
    }
    if !versions
        .iter()
        .any(|version| version == "v1" || version == "v1beta1")
    {
        errors.push(Error::invalid(
            path,
            Value::from(versions),
            "must include at least one of v1, v1beta1",
        ));
    }
    errors
}

/// A webhook or policy has at most this many conditions.
const MAX_CONDITIONS: usize = 64;

/// Named conditions under which a webhook or policy is asked at all.
pub(super) fn match_conditions(owner: &Value, params: bool, path: &Path) -> ErrorList {
    let conditions = list(owner, &["matchConditions"]);
    let mut errors = ErrorList::new();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let name = text(condition, &["name"]);
        let expression = text(condition, &["expression"]);
        if expression.trim().is_empty() {
            errors.push(Error::required(&path.child("expression"), ""));
        } else {
            errors.extend(expressions::condition(
                expression,
                params,
                &path.child("expression"),
            ));
        }
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
            continue;
        }
        errors.extend(texts(&path.child("name"), name, names::qualified_name(name)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

/// The path of a webhook's requests: segments that are domains.
fn url_path(place: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if matches!(place, "" | "/") {
        return errors;
    }
    if place == "//" {
        return vec![Error::invalid(path, place, "segment[0] may not be empty")];
    }
    if !place.starts_with('/') {
        errors.push(Error::invalid(path, place, "must start with a '/'"));
    }
    // The first character is skipped whatever it is.
    let rest = place
        .chars()
        .next()
        .map_or("", |first| &place[first.len_utf8()..]);
    for (index, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            errors.push(Error::invalid(
                path,
                place,
                format!("segment[{index}] may not be empty"),
            ));
            continue;
        }
        errors.extend(
            names::dns1123_subdomain(segment)
                .into_iter()
                .map(|message| Error::invalid(path, place, format!("segment[{index}]: {message}"))),
        );
    }
    errors
}

/// An URL of a webhook: `https`, a host, a path, and nothing else.
fn url(url: &str, path: &Path) -> ErrorList {
    const FORM: &str = "; desired format: https://host[/path]";
    let scheme_of = |text: &str| {
        text.split_once(':')
            .map(|(scheme, _)| scheme.to_owned())
            .filter(|scheme| {
                scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                    && scheme
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            })
    };
    let scheme = scheme_of(url).unwrap_or_default();
    let rest = if scheme.is_empty() {
        url
    } else {
        &url[scheme.len() + 1..]
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest
        .strip_prefix("//")
        .map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut errors = ErrorList::new();
    if scheme.to_lowercase() != "https" {
        errors.push(Error::invalid(
            path,
            scheme.to_lowercase(),
            format!("'https' is the only allowed URL scheme{FORM}"),
        ));
    }
    if host.is_empty() {
        errors.push(Error::invalid(
            path,
            host,
            format!("host must be specified{FORM}"),
        ));
    }
    for (part, message) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !part.is_empty() {
            errors.push(Error::invalid(path, part, message));
        }
    }
    errors
}

/// Where a webhook is: at an URL or behind a service.
pub(in crate::validate) fn client(client: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (url, service) = (at(client, &["url"]), at(client, &["service"]));
    if url.is_string() == service.is_object() {
        errors.push(Error::required(path, "exactly one of url or service is required"));
        return errors;
    }
    if service.is_object() {
        let path = path.child("service");
        // Upstream names the one where it misses the other.
        for (field, named) in [("namespace", "name"), ("name", "namespace")] {
            if text(service, &[field]).is_empty() {
                errors.push(Error::required(&path.child(named), ""));
            }
        }
        let port = int(service, &["port"]).unwrap_or(443);
        if !(1..=65535).contains(&port) {
            errors.push(Error::invalid(
                &path.child("port"),
                port,
                "port is not valid: must be between 1 and 65535, inclusive",
            ));
        }
        errors.extend(url_path(text(service, &["path"]), &path.child("path")));
    } else if let Some(url) = url.as_str() {
        errors.extend(self::url(url, &path.child("url")));
    }
    errors
}

use super::expressions;
use super::rules::rule;
use crate::validate::shared::{label_selector, label_selector_with, maybe_one_of, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::go_url::Url;
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// What a configuration may go on having, since it was there before there was a rule against it.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Match conditions are not looked at when none of them changes.
    conditions: bool,
    side_effects: bool,
    review_versions: bool,
    repeated_names: bool,
    label_values: bool,
}

impl Kept {
    fn by_change(old: &Value, new: &Value) -> Self {
        let (before, after) = (list(old, &["webhooks"]), list(new, &["webhooks"]));
        let conditions =
            |(before, after)| at(before, &["matchConditions"]) == at(after, &["matchConditions"]);
        let mut names = HashSet::new();
        Self {
            conditions: before.len() == after.len() && before.iter().zip(after).all(conditions),
            side_effects: before
                .iter()
                .any(|hook| !NO_SIDE_EFFECTS.contains(&text(hook, &["sideEffects"]))),
            review_versions: before.iter().any(|hook| {
                let versions = list(hook, &["admissionReviewVersions"]);
                !versions.is_empty() && !versions.iter().any(is_sent_version)
            }),
            repeated_names: !before.iter().all(|hook| names.insert(text(hook, &["name"]))),
            label_values: before.iter().any(|hook| {
                SELECTORS
                    .iter()
                    .any(|field| !label_selector(&Path::root(), at(hook, &[field])).is_empty())
            }),
        }
    }
}

const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];

/// The webhooks of a configuration.
pub(super) fn webhooks(mutating: bool, old: Option<&Value>, new: &Value) -> ErrorList {
    let kept = old.map_or_else(Kept::default, |old| Kept::by_change(old, new));
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, hook) in list(new, &["webhooks"]).iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        errors.extend(webhook(mutating, hook, kept, &path));
        errors.extend(review_versions(
            hook,
            !kept.review_versions,
            &path.child("admissionReviewVersions"),
        ));
        let name = text(hook, &["name"]);
        if !kept.repeated_names && !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

fn webhook(mutating: bool, hook: &Value, kept: Kept, path: &Path) -> ErrorList {
    let mut errors: ErrorList = qualified_domain(text(hook, &["name"]), &path.child("name"))
        .into_iter()
        .collect();
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
    let allowed = if kept.side_effects {
        SIDE_EFFECTS
    } else {
        NO_SIDE_EFFECTS
    };
    match at(hook, &["sideEffects"]) {
        Value::Null => errors.push(Error::required(
            &path.child("sideEffects"),
            format!("must specify one of {}", allowed.join(", ")),
        )),
        effects => errors.extend(one_of(&path.child("sideEffects"), effects, allowed)),
    }
    if let Some(seconds) = int(hook, &["timeoutSeconds"]).filter(|seconds| !(1..=30).contains(seconds)) {
        errors.push(Error::invalid(
            &path.child("timeoutSeconds"),
            seconds,
            "the timeout value must be between 1 and 30 seconds",
        ));
    }
    for field in SELECTORS {
        errors.extend(label_selector_with(
            &path.child(field),
            at(hook, &[field]),
            kept.label_values,
        ));
    }
    if mutating {
        errors.extend(maybe_one_of(
            &path.child("reinvocationPolicy"),
            at(hook, &["reinvocationPolicy"]),
            &["IfNeeded", "Never"],
        ));
    }
    errors.extend(client(at(hook, &["clientConfig"]), &path.child("clientConfig")));
    if !kept.conditions {
        errors.extend(match_conditions(hook, false, &path.child("matchConditions")));
    }
    errors
}

/// A domain of three segments at least.
fn qualified_domain(name: &str, path: &Path) -> Option<Error> {
    if name.is_empty() {
        return Some(Error::required(path, ""));
    }
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        return Some(Error::invalid(path, name, wrong.join(",")));
    }
    (name.split('.').count() < 3).then(|| {
        Error::invalid(
            path,
            name,
            "should be a domain with at least three segments separated by dots",
        )
    })
}

/// Whether this server sends reviews of a version.
fn is_sent_version(version: &Value) -> bool {
    version == "v1" || version == "v1beta1"
}

/// The versions of AdmissionReview that a webhook understands; it must know one that we send, if that is `needed`.
fn review_versions(hook: &Value, needed: bool, path: &Path) -> ErrorList {
    let versions = list(hook, &["admissionReviewVersions"]);
    if versions.is_empty() {
        return vec![Error::required(path, "must specify one of v1, v1beta1")];
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let (path, shown) = (path.index(index), version.as_str().unwrap_or(""));
        if seen.insert(shown) {
            errors.extend(texts(&path, shown, names::dns1035_label(shown)));
        } else {
            errors.push(Error::invalid(&path, shown, "duplicate version"));
        }
    }
    if needed && !versions.iter().any(is_sent_version) {
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
        let expression = text(condition, &["expression"]).trim();
        if expression.is_empty() {
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
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(why) => {
            return vec![Error::required(
                path,
                format!("url must be a valid URL: {why}{FORM}"),
            )];
        }
    };
    let mut errors = ErrorList::new();
    if url.scheme != "https" {
        errors.push(Error::invalid(
            path,
            url.scheme.as_str(),
            format!("'https' is the only allowed URL scheme{FORM}"),
        ));
    }
    if url.host.is_empty() {
        errors.push(Error::invalid(
            path,
            url.host.as_str(),
            format!("host must be specified{FORM}"),
        ));
    }
    if let Some(user) = url.user() {
        errors.push(Error::invalid(
            path,
            user,
            "user information is not permitted in the URL",
        ));
    }
    for (part, message) in [
        (url.fragment(), "fragments are not permitted in the URL"),
        (
            url.raw_query().to_owned(),
            "query parameters are not permitted in the URL",
        ),
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
